"""Takes the pictures of the chat page, for docs/. Run: python docs/screenshots.py dist/minitron-chat-linux-amd64 [--model DIR]

Needs Playwright and Chromium, as tests/test_page.py does. The answers are what the model writes with seed 4. Linux has no typeface
of its own for pages; with Debian's fonts-inter installed the pictures look as they do on other systems.
"""

import argparse
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser import Window, chromium, serving  # noqa: E402

CHATS = [
    ["Расскажи сказку"],
    ["Как дела?", "Что ты умеешь?"],
    ["Какая столица Франции?", "А Японии?"],
    ["Tell me a joke"],
    ["Hi! Who are you?", "My name is Lena.", "How do you say cat in Russian?", "What is my name?"],
]
UNSURE = {"temperature": "1.2", "seed": "1"}  # makes an answer with many improbable tokens


def talk(window: Window, chats: list[list[str]]) -> None:
    for number, questions in enumerate(chats):
        if number:
            window.page.keyboard.press("Alt+n")
        for question in questions:
            window.ask(question)


def picture(window: Window, name: str) -> None:
    window.page.mouse.move(0, 0)
    window.page.screenshot(path=DOCS / f"page-{name}.png", animations="disabled")
    window.close()


def pictures(browser, address: str) -> None:
    window = Window(browser, address)
    talk(window, CHATS)
    picture(window, "desktop-light")

    window = Window(browser, address, color_scheme="dark", locale="ru-RU")
    talk(window, [CHATS[0], ["Hi! Who are you?"], CHATS[2], ["Привет! Кто ты?", *CHATS[1]]])
    picture(window, "desktop-dark")

    window = Window(browser, address, "phone", locale="ru-RU")
    talk(window, [["Привет! Кто ты?", "Меня зовут Аня", "Как меня зовут?", "Расскажи шутку"]])
    picture(window, "phone")

    window = Window(browser, address)
    talk(window, CHATS[2:4])
    window.panel("settings")
    for name, value in UNSURE.items():
        window.page.fill(f"#set-{name}", value)
    window.page.keyboard.press("Escape")
    window.page.keyboard.press("Alt+n")
    window.ask("Why do cats sleep?")
    window.page.locator(".theirs").get_by_label("How sure was it?").click()
    window.page.wait_for_selector(".token")
    levels = window.page.locator(".token").evaluate_all(
        "(all) => all.map((e) => Number(/level-(.)/.exec(e.className)[1]))"
    )
    window.page.locator(".token").nth(levels.index(min(levels[1:]), 1)).focus()
    picture(window, "probabilities")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--model", type=Path, help="a bundle, where the program has none inside")
    options = parser.parse_args()
    program = options.program.resolve()
    with (
        tempfile.TemporaryDirectory() as home,
        chromium() as browser,
        serving(program, options.model, Path(home), "--seed", "4") as address,
    ):
        pictures(browser, address)


if __name__ == "__main__":
    main()
