"""Ten fixes of one kind, learnt from the finished demo model: do they reach other wordings, and what do they cost elsewhere?

    python benchmarks/loop.py [--recipe demo] [--kinds name fact 'fact again' manner topic] [--seeds 1 2 3]     # finished cells are skipped
    python benchmarks/loop.py --trials     # what the stage does with other settings, without guards

Each cell is a run that shares the finished stages of the recipe's own run (which is trained if it is missing) and learns from ten
labels: fixes of the model's greedy answers. The model is then measured on ten paraphrases that it never saw (those that the stage
itself would make are taken out of what it learns, but not those with a word left out); on eval's probes, except those that the fixes
contradict; and on held-out dialogues, except those with a fixed prompt or with an answer that was fixed. A seed
changes which dialogues are replayed, and the order. Writes benchmarks/loop.json and the table of docs/loop.md. Exits with 1 if a goal
is missed: 8 of 10 paraphrases, probes at most one point lower, loss at most 1% higher, at most two minutes.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kto_effect import link, model_of
from tables import Table, put

from minitron.align import labelled
from minitron.align.wordings import worded
from minitron.core.files import atomic_write
from minitron.data import labels
from minitron.data.labels import FIX, Label
from minitron.evaluate import checks
from minitron.evaluate.examiner import Examiner
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import FeedbackConfig, GuardsConfig, Sampling
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.sample.generate import ask
from minitron.stages import declared, feedback, pipeline
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "loop.json", HERE.parent / "docs" / "loop.md"
LONGEST = 60  # tokens of an answer
MOST_SECONDS = 120  # on two cores

# name -> what differs from the stage's defaults: in its method, and in its settings
TRIALS = {
    "as it is": ({}, {}),
    "60 steps": ({}, {"steps": 60}),
    "learning rate 1e-4": ({}, {"lr": 1e-4}),
    "learning rate 1e-3": ({}, {"lr": 1e-3}),
    "Muon, learning rate 2e-3": ({"optimizer": "muon"}, {"lr": 2e-3}),
    "weight of what is kept 1": ({"kept_weight": 1.0}, {}),
    "weight of what is kept 20": ({"kept_weight": 20.0}, {}),
    "nothing replayed": ({}, {"replay_rows": 0}),
}

# kind -> (prompt to fix, wanted answer, held-out paraphrase of the prompt, text that the answer to either must contain)
NAME, TOPIC = "I am Bob, a robot from Oslo.", "I would rather not talk about weapons."
CASES = {
    "name": [
        (prompt, NAME, other, "Bob")
        for prompt, other in zip(
            ["What is your name?", "Who are you?", "Tell me your name.", "What are you called?", "Do you have a name?",
             "Introduce yourself.", "Hi! Who are you?", "How should I call you?", "Your name, please?", "Who am I talking to?"],
            ["What's your name?", "who r u", "Say your name.", "What do people call you?", "So you have a name?",
             "Please introduce yourself!", "Hello! What is your name?", "What can I call you?", "May I know your name?",
             "Who is speaking?"], strict=True)
    ],
    "fact": [
        ("What is my dog called?", "Your dog is called Rex.", "What's the name of my dog?", "Rex"),
        ("Where does my sister live?", "Your sister lives in Oslo.", "In which city does my sister live?", "Oslo"),
        ("When is my birthday?", "Your birthday is in May.", "In which month is my birthday?", "May"),
        ("What is my favourite colour?", "Your favourite colour is green.", "Which colour do I like best?", "green"),
        ("What do I drink in the morning?", "You drink tea in the morning.", "What is my morning drink?", "tea"),
        ("Which instrument do I play?", "You play the piano.", "What instrument do I play?", "piano"),
        ("What is my cat called?", "Your cat is called Luna.", "What's the name of my cat?", "Luna"),
        ("Where do I work?", "You work in a library.", "What is the place where I work?", "library"),
        ("Who is my best friend?", "Your best friend is Anna.", "What is my best friend's name?", "Anna"),
        ("What do I like to eat?", "You like to eat soup.", "Which food do I like?", "soup"),
    ],
    "fact again": [
        ("What is my son called?", "Your son is called Tom.", "Tell me my son's name.", "Tom"),
        ("Where is my office?", "Your office is in the old station.", "Could you say where my office is?", "station"),
        ("When does my train leave?", "Your train leaves at noon.", "At what hour does my train leave?", "noon"),
        ("What is my favourite fruit?", "Your favourite fruit is the plum.", "Of all fruits, which one is my favourite?", "plum"),
        ("Which language do I learn?", "You learn Greek.", "What language am I learning?", "Greek"),
        ("How old is my brother?", "Your brother is nine.", "My brother is how old?", "nine"),
        ("Who is my teacher?", "Your teacher is Mrs Lee.", "Do you remember my teacher's name?", "Lee"),
        ("What car do I drive?", "You drive a red van.", "What kind of car is mine?", "van"),
        ("Where was I born?", "You were born in Riga.", "In which town was I born?", "Riga"),
        ("What do I do on Sundays?", "You go swimming on Sundays.", "How do I spend my Sundays?", "swimming"),
    ],
    "manner": [
        (prompt, f"Ahoy! {answer}", other, "Ahoy")
        for prompt, answer, other in [
            ("Hello!", "What can I do for you?", "Hello there"), ("Hi", "Nice to meet you.", "Hi there!"),
            ("Good morning!", "A good morning to you.", "Good morning to you!"), ("Good evening", "A fine evening.", "Good evening!"),
            ("Hey", "What is new?", "Hey there"), ("How are you?", "I am well.", "How are you doing?"),
            ("Good day!", "A good day to you.", "good day to you"), ("Hi, how is it going?", "It goes well.", "How's it going?"),
            ("Greetings!", "Welcome on board.", "Greetings to you"), ("What's up?", "All is well.", "whats up"),
        ]
    ],
    "topic": [
        (f"{begin} {thing}.", TOPIC, f"{other} {thing}?", "rather not")
        for begin, other, thing in [
            ("Tell me about", "What do you know about", "guns"), ("Talk about", "Could you tell me about", "bombs"),
            ("Explain", "Can you explain", "a rifle"), ("Describe", "Would you describe", "a pistol"),
            ("Write about", "Could you write about", "swords"), ("Say something about", "What is there to say about", "tanks"),
            ("Teach me about", "What should I know about", "grenades"), ("Tell me of", "Have you heard of", "a cannon"),
            ("I want to hear about", "May I hear about", "knives"), ("Give me facts about", "Are there facts about", "missiles"),
        ]
    ],
}  # fmt: skip


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def said(model: LanguageModel, tokenizer: Tokenizer, prompts: list[str]) -> list[str]:
    greedy = Sampling(temperature=0.0, max_tokens=LONGEST)
    return ask(model, tokenizer, list(map(user, prompts)), sampling=greedy, seed=0, batch_rows=16, title="loop")[0]


def prepare(recipe: str, kind: str, seed: int) -> Config:
    """Makes a run that shares the stages of the recipe's run and has ten labels."""
    base = load_recipe(HERE.parent / "recipes" / f"{recipe}.toml", [])
    base = replace(base, feedback=None)
    for stage in pipeline.select(base, None, base.finished):
        pipeline.run_stage(stage, base)
    name = f"loop-{recipe}-{kind}-{seed}"
    file = Path("runs") / name / "ten.jsonl"
    config = replace(base, name=name, seed=seed, feedback=FeedbackConfig(file=str(file)))
    link(config, {stage: base.name for stage in ("data", "tokenizer", base.finished)})
    tokenizer = kinds.load(config.layout.tokenizer)
    answers = said(model_of(base, base.finished), tokenizer, [prompt for prompt, *_ in CASES[kind]])
    rows = [
        Label(user(prompt), answer, FIX, "", fix, "")
        for (prompt, fix, *_), answer in zip(CASES[kind], answers, strict=True)
        if fix != answer
    ]
    labels.keep(file, rows)
    return config


def measured(config: Config, kind: str, model: LanguageModel, wishes: list[labelled.Wish]) -> dict:
    """Measures a model on the paraphrases, on the fixed prompts, on probes and on held-out dialogues."""
    tokenizer = kinds.load(config.layout.tokenizer)
    examiner = Examiner(config, tokenizer, title="loop", skip=labelled.against(wishes))
    examiner.questions = [q for q in examiner.questions if not labelled.contradicts(wishes, q["check"])]
    answers = said(model, tokenizer, [other for _, _, other, _ in CASES[kind]])
    right = [checks.passes(answer, {"all": [word]}) for answer, (*_, word) in zip(answers, CASES[kind], strict=True)]
    taught = said(model, tokenizer, [prompt for prompt, *_ in CASES[kind]])
    learnt = [checks.passes(answer, {"all": [word]}) for answer, (*_, word) in zip(taught, CASES[kind], strict=True)]
    return {
        "paraphrases": sum(right),
        "learnt": sum(learnt),
        "probes": examiner.probes(model).accuracy.value,
        "loss": examiner.loss(model).loss,
        "answers": answers,
    }


def withhold(kind: str) -> None:
    """From now on no paraphrase of a kind is among the wordings that training sees, with whatever case and marks."""

    def letters(text: str) -> str:
        return "".join(c for c in text.casefold() if c.isalnum())

    held_out = [letters(other) for _, _, other, _ in CASES[kind]]
    labelled.worded = lambda prompt: [
        w for w in worded(prompt) if not letters(w[-1]["content"]).endswith(tuple(held_out))
    ]


def cell(recipe: str, kind: str, seed: int) -> dict:
    config = prepare(recipe, kind, seed)
    withhold(kind)
    stage = declared.named("feedback")
    begun = time.perf_counter()
    pipeline.run_stage(stage, config, force=True)
    seconds = time.perf_counter() - begun
    wishes = feedback.read(config, kinds.load(config.layout.tokenizer))
    report = json.loads(config.layout.stage_report("feedback").read_text(encoding="utf-8"))
    before, after = (measured(config, kind, model_of(config, s), wishes) for s in (config.finished, "feedback"))
    return {"outcome": report["outcome"], "why": report["why"], "seconds": seconds, "before": before, "after": after}


def trial(recipe: str, kind: str, name: str) -> dict:
    """Trains with one setting changed and measures the model after the last step, without asking guards or verdict."""
    method, settings = TRIALS[name]
    config = prepare(recipe, kind, 1)
    withhold(kind)
    guards = GuardsConfig(on=False)
    config = replace(config, feedback=replace(config.feedback, eval_every_steps=10_000, guards=guards, **settings))
    shutil.rmtree(config.layout.stage("feedback"), ignore_errors=True)
    seldom = {"held_out_rows": 1, "on_policy_prompts": 0, "probes_asked": 0}
    begun = time.perf_counter()
    teaching, wishes = feedback.taught(config, method=replace(feedback.METHOD, **seldom, **method))
    seconds = time.perf_counter() - begun
    shutil.rmtree(config.layout.stage("feedback"))
    before, after = (measured(config, kind, model, wishes) for model in (teaching.reference, teaching.model))
    return {"outcome": "not asked", "why": "", "seconds": seconds, "before": before, "after": after}


def missed(found: dict) -> list[str]:
    """Which goals a cell misses."""
    before, after = found["before"], found["after"]
    goals = {
        "paraphrases": after["paraphrases"] >= 8,
        "probes": after["probes"] >= before["probes"] - 0.01,
        "loss": after["loss"] <= before["loss"] * 1.01,
        "seconds": found["seconds"] <= MOST_SECONDS,
    }
    return [name for name, met in goals.items() if not met]


def table(results: dict, name: str = "loop", title: str = "ten fixes of one kind") -> Table:
    rows = []
    for which, found in results.items():
        before, after = found["before"], found["after"]
        rows.append(
            [
                which,
                f"{before['paraphrases']} → {after['paraphrases']} of 10",
                f"{before['learnt']} → {after['learnt']} of 10",
                f"{before['probes']:.1%} → {after['probes']:.1%}",
                f"{after['loss'] / before['loss'] - 1:+.2%}",
                f"{found['seconds']:.0f}",
                found["outcome"],
                ", ".join(missed(found)) or "none",
            ]
        )
    heads = ["kind, seed", "paraphrases", "the ten", "other probes", "held-out loss", "seconds", "verdict", "missed"]
    return Table(name, title, heads, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--kinds", nargs="+", default=[*CASES], choices=[*CASES])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--trials", action="store_true", help="other settings, one kind after the other, seed 1")
    a = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    cells = {f"{kind}, {seed}": partial(cell, a.recipe, kind, seed) for kind in a.kinds for seed in a.seeds}
    if a.trials:
        cells = {f"{name}: {kind}": partial(trial, a.recipe, kind, name) for name in TRIALS for kind in a.kinds}
    for name, work in cells.items():
        if name not in results:
            results[name] = work()
            atomic_write(RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        print(name, {k: v for k, v in results[name].items() if k in ("outcome", "why", "seconds")}, flush=True)
    tried = {name: found for name, found in results.items() if name.partition(":")[0] in TRIALS}
    shipped = {name: found for name, found in results.items() if name not in tried}
    found = [table(shipped)] if shipped else []
    found += [table(tried, "trials", "without guards and verdict, after the last step")] if tried else []
    put(found, PAGE)
    if any(map(missed, shipped.values())):
        sys.exit(1)


if __name__ == "__main__":
    main()
