"""Takes the pictures of the page that explains a model, for docs/. Run: python docs/explain_screenshots.py runs/demo/explain.html

Needs Playwright and Chromium, as tests/test_explain.py does.
"""

import argparse
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser import Window, chromium  # noqa: E402

READY = "performance.getEntriesByName('minitron-explained').length"


def opened(browser, file: Path, size: str = "desktop", **options) -> Window:
    window = Window(browser, file.resolve().as_uri(), size, reduced_motion="reduce", **options)
    window.until(READY)
    return window


def picture(window: Window, chapter: str, name: str) -> None:
    window.page.evaluate("(id) => document.getElementById(id).scrollIntoView()", chapter)
    window.page.mouse.move(0, 0)
    window.page.wait_for_timeout(500)
    window.page.screenshot(path=DOCS / f"explain-{name}.png", animations="disabled")
    window.close()


def pictures(browser, file: Path) -> None:
    window = opened(browser, file)
    window.page.fill("#next-text", "Tell me a joke")
    window.page.wait_for_timeout(1000)
    window.page.click("#next-go")
    window.until(
        "!document.querySelector('#next-go').disabled || document.querySelectorAll('#next-path button').length > 8"
    )
    window.page.locator("#next-path button").nth(3).click()
    picture(window, "next", "next")

    window = opened(browser, file)
    window.page.fill("#look-text", "My name is Lena. What is my name?")
    window.page.wait_for_timeout(1500)
    window.page.locator("#look-heads button").nth(3).click()
    picture(window, "look", "look")

    window = opened(browser, file, color_scheme="dark", locale="ru-RU")
    window.page.fill("#nearest-text", "Сколько ног у кошки?")
    window.page.locator("#nearest").scroll_into_view_if_needed()
    window.page.locator("#nearest-found .box").first.wait_for()
    window.page.click("#nearest-ask")
    window.page.locator("#nearest-answer .box").wait_for()
    picture(window, "nearest", "nearest")

    window = opened(browser, file, "phone", locale="ru-RU")
    window.page.fill("#tokens-text", "Привет! Я читаю 2026 книг о небоскрёбах 🙂")
    picture(window, "tokens", "phone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    with chromium() as browser:
        pictures(browser, parser.parse_args().file)


if __name__ == "__main__":
    main()
