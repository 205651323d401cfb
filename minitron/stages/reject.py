"""The chat model's own failures, one preset per failure mode. Run: minitron reject recipes/demo.toml.

Reads data/train.parquet, the tokenizer and sft/best; writes reject/pairs.parquet with the columns
`prompt` (messages), `completion`, `label`, `preset`: the recorded answer (label true, preset `data`) and what the model
said in its place (label false), if that shows a failure (`failures`). Knows nothing about losses.
"""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq

from minitron import chatml, checkpoint, dialogues, failures
from minitron.config import Config, Sampling
from minitron.console import say, warn
from minitron.errors import MinitronError
from minitron.files import atomic_path, atomic_write
from minitron.generate import ask
from minitron.model import pick_device
from minitron.tokenizer import Tokenizer

MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema(
    [
        ("prompt", pa.list_(MESSAGE)),
        ("completion", pa.string()),
        ("label", pa.bool_()),
        ("preset", pa.string()),
        ("failure", pa.string()),  # what a rejected completion was caught at
    ]
)


def run(config: Config) -> None:
    folder = config.stage_dir("reject")
    tokenizer = Tokenizer(config.stage_dir("tokenizer") / "tokenizer.model")
    model, _ = checkpoint.load_model(
        checkpoint.finished(config.stage_dir("sft"), "sft"), device=pick_device(config.device)
    )
    settings, rows, report = config.reject, [], {}
    for number, (name, preset) in enumerate(settings.presets.items()):
        sampling = Sampling(**vars(preset) | {"max_tokens": settings.max_tokens or preset.max_tokens})
        asked = choose_prompts(config, tokenizer, count=settings.prompts, seed=config.seed * 1000 + number)
        texts, ended = ask(
            model,
            tokenizer,
            [messages for messages, _ in asked],
            sampling=sampling,
            seed=config.seed + number,
            batch_rows=settings.batch_rows,
            title=f"reject: {name}",
        )
        judged = failures.judge(texts, ended=ended, references=[reference for _, reference in asked])
        kept = [i for i, j in enumerate(judged) if j.failures and texts[i]]
        for i in kept:
            prompt, reference = asked[i]
            rows.append((prompt, reference, True, "data", ""))
            rows.append((prompt, texts[i], False, name, "+".join(judged[i].failures)))
        report[name] = {"answers": len(texts), "rejected": len(kept), **failures.rates(judged)}
        shown = ", ".join(f"{k} {v:.1%}" for k, v in failures.rates(judged).items())
        say(f"reject: {name}: {len(kept)} of {len(texts)} answers show a failure ({shown})")
    if not rows:
        warn("no answer showed a failure: there is nothing for kto to learn from")
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in SCHEMA]
    with atomic_path(folder / "pairs.parquet") as temporary:
        pq.write_table(
            pa.Table.from_arrays([pa.array(c, t) for c, t in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA),
            temporary,
        )
    atomic_write(folder / "report.json", json.dumps(report, indent=1))


def choose_prompts(config: Config, tokenizer: Tokenizer, *, count: int, seed: int) -> list[tuple[list[dict], str]]:
    """`count` training dialogues, each cut before one of its answers: (messages so far, that answer).

    Reservoir sampling (Vitter's algorithm R): one pass, memory for `count` dialogues only.
    """
    chance = random.Random(seed)
    chosen: list[dict] = []
    for number, dialogue in enumerate(dialogues.read(config.stage_dir("data") / "train.parquet")):
        if number < count:
            chosen.append(dialogue)
        elif (slot := chance.randrange(number + 1)) < count:
            chosen[slot] = dialogue
    asked, known = [], set()
    for dialogue in chosen:
        messages = dialogue["messages"]
        at = chance.choice([i for i, m in enumerate(messages) if m["role"] == "assistant"])
        # At least a quarter of the context stays free for the answer.
        try:
            prompt, _ = chatml.fit(
                messages[:at], tokenizer, context=config.model.context, max_tokens=config.model.context
            )
        except MinitronError:
            continue  # a single message longer than that is no use as a prompt
        text = json.dumps(prompt)
        if text not in known:  # many people say just "hi"
            known.add(text)
            asked.append((prompt, messages[at]["content"]))
    if not asked:
        raise MinitronError("no training prompt fits into the context", hint="raise model.context")
    return asked
