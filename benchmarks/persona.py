"""A person that `minitron new` made: trained as its recipe says, and asked fifty questions about itself.

    python benchmarks/persona.py [--minutes 10] [--folder FOLDER]     # FOLDER keeps the run, and goes on there

Bruno speaks English and Russian and has five facts in each, with four wordings per fact. He is asked 25 questions per language: his
name in five ways; each fact in two of the recipe's wordings (one after a greeting, one in small letters) and in two wordings that the
recipe does not have. The greedy answer is right if it contains the word that matters. Writes benchmarks/persona.json and the table of
docs/data.md; exits with 1 if fewer than 45 answers are right.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from honesty import Questions, user
from tables import Table, put

from minitron.core.files import atomic_write
from minitron.recipe.load import load_recipe

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "persona.json", HERE.parent / "docs" / "data.md"
ENOUGH = 45

# language -> (wordings in the recipe, answer, word that a right answer contains, wordings that the recipe does not have)
FACTS = {
    "English": [
        (["Where do you live?", "Where is your home?", "What city are you in?", "In which town do you live?"],
         "I live in Lisbon, by the sea.", "Lisbon", ["Where is your house?", "Which city do you live in?"]),
        (["What do you like to eat?", "What is your favourite food?", "What do you eat?", "What food do you like?"],
         "I eat fried sardines.", "sardines", ["Which food do you like most?", "What do you eat for dinner?"]),
        (["Who is your best friend?", "Do you have friends?", "Who are your friends?", "Do you have a best friend?"],
         "My best friend is Max the parrot.", "Max", ["Do you have a friend?", "Who is your friend?"]),
        (["What is your job?", "What do you do for a living?", "Where do you work?", "What work do you do?"],
         "I keep the lighthouse.", "lighthouse", ["What do you work as?", "Do you have a job?"]),
        (["What music do you like?", "Which music do you listen to?", "What is your favourite music?", "Do you like music?"],
         "I love fado and old guitars.", "fado", ["What kind of music do you like?", "Do you listen to music?"]),
    ],
    "Russian": [
        (["Где ты живёшь?", "Где твой дом?", "В каком городе ты живёшь?", "Где ты обитаешь?"],
         "Я живу в Лиссабоне, у моря.", "Лиссабон", ["В каком ты городе?", "А где твой дом?"]),
        (["Что ты любишь есть?", "Какая твоя любимая еда?", "Что ты ешь?", "Какую еду ты любишь?"],
         "Я ем жареные сардины.", "сардин", ["Какая еда тебе нравится?", "Что ты ешь на ужин?"]),
        (["Кто твой лучший друг?", "С кем ты дружишь?", "У тебя есть друзья?", "Кто твои друзья?"],
         "Мой лучший друг — попугай Макс.", "Макс", ["У тебя есть друг?", "Как зовут твоего друга?"]),
        (["Кем ты работаешь?", "Какая у тебя работа?", "Где ты работаешь?", "Чем ты занимаешься?"],
         "Я смотритель маяка.", "маяк", ["У тебя есть работа?", "Кто ты по профессии?"]),
        (["Какую музыку ты любишь?", "Какую музыку ты слушаешь?", "Какая твоя любимая музыка?", "Ты любишь музыку?"],
         "Я люблю фаду и старые гитары.", "фаду", ["Какая музыка тебе нравится?", "Ты слушаешь музыку?"]),
    ],
}  # fmt: skip
NAMES = {
    "English": (["What is your name?", "Who are you?", "hi, what's your name?", "Tell me your name.", "Introduce yourself"], "Bruno"),
    "Russian": (["Как тебя зовут?", "Кто ты?", "привет! как тебя зовут", "Назови своё имя.", "Представься"], "Бруно"),
}  # fmt: skip
HELLO = {"English": "Hi! {}", "Russian": "Привет! {}"}


def questions() -> list[tuple[str, str, str, str]]:
    """The questions: (language, kind, question, word that a right answer contains)."""
    asked = []
    for language, facts in FACTS.items():
        texts, word = NAMES[language]
        asked += [(language, "its name", text, word) for text in texts]
        for wordings, _, word, others in facts:
            asked.append((language, "in the recipe's words", HELLO[language].format(wordings[0]), word))
            asked.append((language, "in the recipe's words", wordings[1].lower().rstrip("?"), word))
            asked += [(language, "in other words", text, word) for text in others]
    return asked


def made(folder: Path, minutes: str) -> float:
    """Writes and runs the recipe in a folder, as a user would. Returns the seconds of the run."""
    facts = [f"--fact={' '.join(wordings)} {answer}" for of in FACTS.values() for wordings, answer, _, _ in of]
    minitron, environment = [sys.executable, "-m", "minitron"], os.environ | {"PYTHONPATH": str(HERE.parent)}
    recipe = "recipes/bruno.toml"
    if not (folder / recipe).exists():
        command = [*minitron, "new", recipe, "--name", "Bruno", "--name-ru", "Бруно", "--data", "built-in", *facts]
        subprocess.run([*command, "--minutes", minutes], cwd=folder, env=environment, check=True)
    began = time.monotonic()
    subprocess.run([*minitron, "run", recipe, "--to", "binary"], cwd=folder, env=environment, check=True)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", default="10")
    parser.add_argument("--folder", type=Path, help="where the run is made and kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        folder = args.folder or Path(spare)
        folder.mkdir(parents=True, exist_ok=True)
        seconds = made(folder, args.minutes)
        os.chdir(folder)
        shipped = load_recipe(Path("recipes/bruno.toml")).shipped
        asked, them = Questions("recipes/bruno.toml", shipped, []), questions()
        answers = asked.answers([user(text) for _, _, text, _ in them], "persona")
    right = [word.lower() in answer.lower() for answer, (*_, word) in zip(answers, them, strict=True)]
    for answer, (*_, text, _), ok in zip(answers, them, right, strict=True):
        if not ok:
            print(f"  wrong: {text!r} -> {answer!r}")
    rows = []
    for language, kind in dict.fromkeys(question[:2] for question in them):
        of = [ok for ok, question in zip(right, them, strict=True) if question[:2] == (language, kind)]
        rows.append([f"{language}, {kind}", f"{sum(of)} of {len(of)}"])
    rows.append(["all", f"{sum(right)} of {len(right)}"])
    print(f"{seconds:.0f} s", *(": ".join(row) for row in rows), sep="\n")
    atomic_write(RESULTS, json.dumps(dict(rows), indent=1) + "\n")
    put([Table("persona", "Fifty questions to Bruno", ["asked", "right"], rows)], PAGE)
    sys.exit(sum(right) < ENOUGH)


if __name__ == "__main__":
    main()
