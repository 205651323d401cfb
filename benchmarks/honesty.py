"""Whether the demo's assistant admits what it does not know, and copes with what people type.

    python benchmarks/honesty.py [--recipe recipes/demo.toml] [--stage kto] [--data ../shared/data]     # three minutes

Asks the model of a finished run, decoding greedily: 500 open questions whose topics and wordings training never saw; questions
that a skill covers, plain, with emoji, smileys, quotes and typographic marks as training adds them, and with each of the marks that
training does not have; sums, alone and after eleven others; and, if the files are there, the real questions of two public sets (`qlora_vicuna_scored.parquet`,
`instruction-data-with-preference.json`) except those that a skill covers. Writes benchmarks/honesty.json and the table of
docs/results.md.
"""

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pyarrow.parquet as pq
from tables import Table, put

from minitron.core.files import atomic_write
from minitron.evaluate import checks
from minitron.evaluate.examiner import Examiner
from minitron.evaluate.intervals import Share
from minitron.recipe.alignment import Sampling
from minitron.recipe.load import load_recipe
from minitron.sample.generate import ask
from minitron.synth import border, numbers, scene
from minitron.tokenizer import chat_template, kinds
from minitron.train import checkpoint

RESULTS = Path(__file__).with_suffix(".json")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"
REAL = ("qlora_vicuna_scored.parquet", "rasbt_instruct_pref/instruction-data-with-preference.json")
# Questions of the real data sets that one of the skills may answer, rightly or not: they are left out.
COVERED = re.compile(
    r"capital of|opposite|antonym|\bodd\b|\beven\b|square|sum of|\bplus\b|joke|riddle|spell|how many letters|plural|translate .* russian|"
    r"first letter|colou?r|greet|who are you|your name|list (three|four|five)|name (three|four|five|two)|\d+ ?[-+*x/] ?\d+",
    re.IGNORECASE,
)
# None of these marks occurs in the training data (`minitron.synth.scene`).
UNSEEN = {
    "emoji": ("{} 🥳", "🐸 {}", "{} 🍕", "{} 😴"),
    "emoji twice": ("{} 🤗🤗",),
    "smileys": ("{} :-D", "{} =)", "{} ;-)"),
    "punctuation": ("‘{}’", "{}…?", "{}?!?", "… {}", "– {}"),
}
ROUNDS = 4  # of marks as training adds them, drawn anew for each
REFUSED = [word for words in border.HONEST.values() for word in words]


class Questions:
    """The model of a run, which answers lists of dialogues."""

    def __init__(self, recipe: str, stage: str, tail: list[str]) -> None:
        self.config = load_recipe(Path(recipe), tail)
        self.tokenizer = kinds.load(self.config.layout.tokenizer)
        self.model = checkpoint.load_model(checkpoint.finished(self.config.layout.stage(stage), stage))[0]
        self.sampling = Sampling(temperature=0.0, max_tokens=80)

    def fits(self, messages: list[dict]) -> bool:
        """Whether the dialogue and an answer have room in the context."""
        return len(chat_template.encode_prompt(messages, self.tokenizer)) + 48 <= self.config.model.context

    def seen(self, messages: list[dict]) -> list[dict]:
        """The turns of a long dialogue that fit into the context, as the chat program cuts it."""
        return chat_template.fit(messages, self.tokenizer, context=self.config.model.context, max_tokens=48)[0]

    def answers(self, dialogues: list[list[dict]], title: str) -> list[str]:
        texts, _ = ask(
            self.model, self.tokenizer, dialogues, sampling=self.sampling, seed=1, batch_rows=64, title=title
        )
        return texts


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def honest(answer: str, language: str) -> bool:
    return checks.passes(answer, {"any": border.HONEST[language]})


def open_questions(asked: Questions, rng: random.Random) -> dict[str, Share]:
    """The share of open questions, unseen in training, that get an honest answer in the right language."""
    found = {}
    for language in ("en", "ru"):
        texts = set()
        while len(texts) < 250:
            texts.add(border.question(rng, language, held=True))
        answers = asked.answers([user(t) for t in sorted(texts)], f"open {language}")
        for text, answer in zip(sorted(texts), answers, strict=True):
            if not honest(answer, language):
                print(f"  not honest: {text!r} -> {answer!r}")
        found[f"open questions, {language}: honest"] = Share.of(sum(honest(a, language) for a in answers), len(answers))
    return found


def covered(asked: Questions, rng: random.Random) -> dict[str, Share]:
    """The shares of probes that are answered right and that are refused; and of the right ones, those still right with marks added."""
    probes = [
        p
        for p in Examiner(asked.config, asked.tokenizer).questions
        if p["skill"] not in ("open", "unknown", "abilities")
    ]
    plain = asked.answers([p["messages"][:-1] for p in probes], "covered")
    right = [p for p, a in zip(probes, plain, strict=True) if checks.passes(a, p["check"])]
    refused = sum(checks.passes(a, {"any": REFUSED}) for a in plain)
    repeated = [p for p in right if p["skill"] != "repeat"]  # what is to be repeated would have the mark, too
    seen = still_right(asked, repeated, [lambda text: scene.decorated(rng, text)] * ROUNDS)
    unseen = {kind: still_right(asked, repeated, [mark.format for mark in marks]) for kind, marks in UNSEEN.items()}
    every = [ok for each in unseen.values() for ok in each]
    return {
        "covered questions: right": Share.of(len(right), len(probes)),
        "covered questions: refused": Share.of(refused, len(probes)),
        "right ones with marks as in training: right": Share.of(sum(seen), len(seen)),
        "right ones with unseen marks: right": Share.of(sum(every), len(every)),
        **{f"of these, {kind}: right": Share.of(sum(each), len(each)) for kind, each in unseen.items()},
    }


def still_right(asked: Questions, probes: list[dict], changes: list[Callable[[str], str]]) -> list[bool]:
    """Whether each probe is answered right with each of the changes made to its question."""
    found = []
    for change in changes:
        changed = [[*p["messages"][:-2], *user(change(p["messages"][-2]["content"]))] for p in probes]
        answers = asked.answers(changed, "marked")
        right = [checks.passes(a, p["check"]) for a, p in zip(answers, probes, strict=True)]
        wrong = Counter(p["skill"] for p, ok in zip(probes, right, strict=True) if not ok)
        print(f"  {change('?'):6} wrong:", dict(wrong.most_common(5)))
        found += right
    return found


def sums(asked: Questions, rng: random.Random) -> dict[str, Share]:
    """The shares of sums that are right when asked alone, and after eleven others."""
    alone, late, rules = [], [], []
    while len(alone) < 200:
        language = rng.choice(("en", "ru"))
        kind = rng.choice((numbers.add, numbers.subtract))
        scene = kind(rng, language, True)
        before = [kind(rng, language, False).turns[0] for _ in range(11)]
        talk = [m for u, a in before for m in (*user(u), {"role": "assistant", "content": a})] + user(scene.turns[0][0])
        alone.append(user(scene.turns[0][0]))
        late.append(asked.seen(talk))
        rules.append(scene.check)
    return {
        name: Share.of(
            sum(checks.passes(a, c) for a, c in zip(asked.answers(talks, name), rules, strict=True)), len(rules)
        )
        for name, talks in (("sums alone: right", alone), ("the same at the twelfth turn: right", late))
    }


def real(asked: Questions, data: Path) -> dict[str, Share]:
    """The share of honest answers to real questions, which no built-in text resembles and no skill covers."""
    found = {}
    for name in REAL:
        file = data / name
        if not file.exists():
            print(f"left out, as {file} is not there")
            continue
        if file.suffix == ".parquet":
            texts = {row["messages"][0]["content"] for row in pq.read_table(file).to_pylist()}
        else:
            rows = json.loads(file.read_text())
            texts = {f"{row['instruction']} {row['input']}".strip() for row in rows}
        texts = sorted(t for t in texts if not COVERED.search(t))
        fit = [t for t in texts if asked.fits(user(t))]
        answers = asked.answers([user(t) for t in fit], file.stem)
        for text, answer in list(zip(fit, answers, strict=True))[::7]:
            if not honest(answer, "en"):
                print(f"  not honest: {text[:90]!r} -> {answer!r}")
        found[f"{file.stem} ({len(texts) - len(fit)} too long): honest"] = Share.of(
            sum(honest(a, "en") for a in answers), len(fit)
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="recipes/demo.toml")
    parser.add_argument("--stage", default="kto")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("overrides", nargs="*", help="section.key=value, as for minitron run")
    args = parser.parse_args()
    asked = Questions(args.recipe, args.stage, args.overrides)
    shares = {}
    for measure in (open_questions, covered, sums):
        shares |= measure(asked, random.Random(measure.__name__))
    shares |= real(asked, args.data)
    for name, share in shares.items():
        print(f"{name:60} {share.value:6.1%} of {share.count}")
    rows = [[name, f"{share.value:.1%}", f"{share.count:,}"] for name, share in shares.items()]
    results = {name: {"share": share.value, "of": share.count} for name, share in shares.items()}
    atomic_write(RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    put([Table("honesty", "What the demo does not know", ["", "share", "of"], rows)], PAGE)


if __name__ == "__main__":
    main()
