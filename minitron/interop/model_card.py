"""README.md of an exported model: what it is, what data it was trained on and how, what it does well, and where it fails.

All of it comes from the run's files (report.json, data/report.json, the config.toml of each stage), so that the same run always
gives the same card, byte for byte. Knows nothing about formats of weights.
"""

import json
import re
from collections.abc import Iterable, Iterator

from minitron import __version__
from minitron.core.console import warn
from minitron.core.files import read_object
from minitron.evaluate.card import Card, Figures
from minitron.evaluate.intervals import Share
from minitron.interop.about import About
from minitron.interop.foreign import IMPORTED
from minitron.model.language_model import LanguageModel
from minitron.recipe.layout import Layout, pointed
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.recipe.training import TrainConfig
from minitron.tokenizer.base import Tokenizer

SAMPLES, WRONG, SHOWN_CHARS = 5, 5, 600  # quoted at most: answers, wrong answers, characters of each
STAGES = {
    "pretrain": "raw text",
    "sft": "dialogues",
    "kto": "alignment on its own failures",
    "feedback": "answers that people labelled",
}


def text(model: LanguageModel, tokenizer: Tokenizer | None, about: About) -> str:
    """The card, in Markdown with the metadata that Hugging Face's hub reads."""
    card = _card(about)
    parts = [
        _metadata(about),
        f"# {_line(about.title)}",
        _introduction(model, tokenizer, about),
        _use(tokenizer, about),
        _data(about),
        _training(about),
        _figures(card, about),
        _samples(card, about),
        _failures(card, about),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _card(about: About) -> Card | None:
    """The report card, or None if eval has not written one, or wrote it of another stage's model."""
    value = read_object(about.run.card) if about.run else {}
    card = Card.from_json(value) if value else None
    if card and card.shipped != about.stage:
        warn(
            f"the report card is of stage {card.shipped}: the model card has no figures until minitron eval is run again"
        )
        return None
    return card


def _line(value: str) -> str:
    """A foreign text as one line of Markdown, with its special characters escaped."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(value.split()))


def _metadata(about: About) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation", "tags:", "- minitron"]
    if about.settings.licence:
        lines += ["license: other", f"license_name: {json.dumps(about.settings.licence, ensure_ascii=False)}"]
    return "\n".join([*lines, "---"])


def _introduction(model: LanguageModel, tokenizer: Tokenizer | None, about: About) -> str:
    m = model.config
    kind = "continues text" if about.base else "answers in dialogues"
    shape = f"{m.arch}, {m.n_layers} layers, {m.d_model} wide, {m.n_heads} heads ({m.n_kv_heads} of keys and values)"
    rows = [
        ("parameters", f"{model.count_params():,} (tied weights once, learned positions left out)"),
        ("shape", shape + (", QK-norm" if m.qk_norm else "")),
        ("tokens", f"{model.vocab_size:,}"),
        ("context", f"{m.context:,} tokens"),
        ("weights", about.dtype),
    ]
    if about.stage != "untrained":
        rows += [("made by", f"stage {about.stage}, step {about.step:,}, {about.trained}")]
    rows += [("version", _line(about.settings.version))]
    told = f"A small language model that {kind}, made with minitron {__version__} (recipe `{about.recipe}`)."
    if tokenizer is None:
        told = f"Untrained weights, made with minitron {__version__} for measurements."
    return told + "\n\n" + _table(("", ""), rows)


def _use(tokenizer: Tokenizer | None, about: About) -> str:
    if tokenizer is None:
        return ""
    ask = 'ids = tokenizer("Once upon a time", return_tensors="pt")'
    if not about.base:
        ask = (
            'messages = [{"role": "user", "content": "Hello!"}]\n'
            'ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")'
        )
    return f"""\
## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer, model = AutoTokenizer.from_pretrained("."), AutoModelForCausalLM.from_pretrained(".")
{ask}
print(tokenizer.decode(model.generate(**ids)[0, ids["input_ids"].shape[1]:], skip_special_tokens=True))
```

It is for trying out, for teaching, and for {"texts" if about.base else "talk"} like what it was trained on. It is too small to
know facts: do not rely on what it says, and let nobody do so unawares. In transformers a text that spells a marker, such as
`<|end|>`, becomes that marker: take it out of what strangers type."""


def _data(about: About) -> str:
    lines = ["## Data"]
    if about.sources:
        rows = [tuple(_line(value) or "–" for value in (s.name, s.licence, s.address)) for s in about.sources]
        lines.append(_table(("source", "licence", "address"), rows))
    found = read_object(about.run.stage_report("data")) if about.run else {}
    if {"rows_in", "kept", "train", "valid", "probes"} <= found.keys():
        lines.append(
            f"Of {found['rows_in']:,} dialogues {found['kept']:,} were kept: {found['train']:,} to train on, {found['valid']:,} "
            f"held out, {found['probes']:,} held out as probes."
        )
        dropped = sorted((reason, n) for reason, n in found.get("dropped", {}).items() if n)
        if dropped:
            lines.append(_table(("left out because", "dialogues"), [(_line(r), f"{n:,}") for r, n in dropped]))
    return "\n\n".join(lines) if len(lines) > 1 else ""


def _training(about: About) -> str:
    rows = list(_stages(about.run, about.stage)) if about.run and about.stage in STAGES else []
    if not rows:
        return ""
    head = ("stage", "on", "steps", "tokens a step", "learning rate", "optimizer", "seed")
    return "## Training\n\n" + _table(head, rows)


def _stages(run: Layout, shipped: str) -> Iterator[tuple[str, ...]]:
    """A row of the table for each stage up to the shipped one, from the resolved recipe (config.toml) in the stage's folder."""
    names = list(STAGES)
    for stage in names[: names.index(shipped) + 1]:
        file = run.stage(stage) / "config.toml"
        if not file.exists():
            continue
        if (best := pointed(run.stage(stage), "best")) and best.name == IMPORTED:
            yield stage, "imported, not trained here", "", "", "", "", ""
            continue
        config: Config = load_recipe(file)
        section = getattr(config, stage)
        if isinstance(section, TrainConfig):
            tokens = f"{section.batch_rows * section.accumulation * config.model.context:,}"
            optimizer, rate = section.optim.name, section.optim.lr
        else:
            tokens, optimizer, rate = f"{section.batch_rows} answers", config.optim.name, section.lr
        yield stage, STAGES[stage], f"{section.steps:,}", tokens, f"{rate:g}", optimizer, str(config.seed)


def _figures(card: Card | None, about: About) -> str:
    if card is None:
        return "" if about.stage == "untrained" else "## Figures\n\n`minitron eval` has not measured this model."
    names = list(card.models)
    rows = []
    for label, value in (
        ("held-out loss, nats per token", _loss),
        ("held-out bits per byte", _bits),
        ("probes answered right", _probes),
        ("answers with a failure", _failing),
    ):
        cells = [value(card.models[name].figures) for name in names]
        if any(cells):
            rows.append((label, *(cell or "–" for cell in cells)))
    note = "Shares with their 95% intervals. Held-out text was never trained on."
    return f"## Figures\n\n{_table(('', *names), rows)}\n\n{note}"


def _loss(f: Figures) -> str:
    return f"{f.held_out.loss:.4f}" if f.held_out else ""


def _bits(f: Figures) -> str:
    return f"{f.held_out.bits_per_byte:.4f}" if f.held_out else ""


def _probes(f: Figures) -> str:
    return _share(f.probes.accuracy) if f.probes else ""


def _failing(f: Figures) -> str:
    return _share(f.failures["all"].rates.failing) if "all" in f.failures else ""


def _share(share: Share) -> str:
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%} of {share.count:,})"


def _samples(card: Card | None, about: About) -> str:
    """Answers to the first held-out prompts; none is picked by hand."""
    if card is None:
        return ""
    if about.base:
        pairs = [(c.prompt, c.answer) for c in card.last.continuations]
    else:
        drawn = card.last.failures.get("chat")
        pairs = [(s.prompt, s.answer) for s in drawn.samples] if drawn else []
    if not pairs:
        return ""
    quoted = "\n\n".join(_quote(f"> {asked}", answer) for asked, answer in pairs[:SAMPLES])
    return f"## Samples\n\nThe first held-out prompts, and what it says; none was chosen.\n\n{quoted}"


def _failures(card: Card | None, about: About) -> str:
    if card is None:
        return ""
    lines = ["## Where it fails"]
    if shares := card.last.failures.get("all"):
        rows = [
            (name, _share(share)) for name, share in shares.rates.shares().items() if name not in ("ended", "failing")
        ]
        lines.append(_table(("answers that", "share"), [(_line(name), share) for name, share in rows]))
    if card.last.probes:
        weakest = sorted(card.last.probes.skills.items(), key=lambda item: (item[1].value, item[0]))[:SAMPLES]
        lines.append(_table(("weakest skills", "right"), [(_line(skill), _share(share)) for skill, share in weakest]))
        lines += [_quote(f"> {w.question}", w.answer) for w in card.last.probes.wrong[:WRONG]]
    return "\n\n".join(lines) if len(lines) > 1 else ""


def _quote(*texts: str) -> str:
    """Foreign texts in a code fence longer than any run of backticks in them, so that none of them can end it."""
    shown = "\n".join(t if len(t) <= SHOWN_CHARS else t[:SHOWN_CHARS] + " …" for t in texts)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))
