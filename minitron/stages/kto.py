"""KTO on the model's own failures, with a frozen reference. Run: minitron kto recipes/demo.toml.

Reads reject/pairs.parquet, data/ and sft/best (the policy to begin with, and the reference); writes kto/checkpoints, kto/best
(the blend that ships, or the SFT model itself if no blend may ship: `selection`) and kto/report.json. Knows nothing about where
the pairs come from.
"""

from dataclasses import replace

from minitron.align import pairs, selection
from minitron.align.examples import encode_pairs
from minitron.align.kto import Kto
from minitron.align.leakage import audit_label_leakage
from minitron.align.method import Method
from minitron.align.preference import Example
from minitron.align.shipping import ship
from minitron.core.console import warn
from minitron.core.device import pick_device
from minitron.evaluate.examiner import Examiner
from minitron.evaluate.verdict import NO_CHANGE
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint


def run(config: Config, *, method: Method | None = None) -> None:
    method, tokenizer = method or Method(), kinds.load(config.layout.tokenizer)
    rows = pairs.read(config.layout.pairs)
    examples, prompts = encode_pairs(rows, tokenizer, context=config.model.context, method=method)
    recorded = all(row.preset == "recorded" for row in rows)
    told_apart_by = audit_label_leakage(examples, tokenizer.end, recorded=recorded, seed=config.seed)
    alignment = begin(config, tokenizer, method=method)
    enough = enough_for(config, examples)
    if enough:
        alignment.align(examples, prompts)
    finish(config, alignment, told_apart_by=told_apart_by, enough=enough)


def begin(config: Config, tokenizer: Tokenizer, *, method: Method) -> Kto:
    """The SFT model as policy and reference, with an examiner whose prompts and probes are not those of eval."""
    best = checkpoint.finished(config.layout.stage("sft"), "sft")
    model, _ = checkpoint.load_model(best, device=pick_device(config.device))
    return Kto(config, model, Examiner(config, tokenizer, spare=True, title="kto"), method=method)


def enough_for(config: Config, examples: list[Example]) -> bool:
    """Whether there are completions for at least two steps, both chosen and rejected ones; warns if not."""
    fewest = 2 * config.kto.batch_rows
    if len(examples) >= fewest and len({e.label for e in examples}) == 2:
        return True
    warn(
        f"kto needs at least {fewest} completions, of both kinds, and has {len(examples)}; the SFT model stays as it is "
        "(raise reject.prompts, add labels in reject.files, or lower kto.batch_rows)"
    )
    return False


def finish(config: Config, alignment: Kto, *, told_apart_by: dict[str, float], enough: bool) -> None:
    """Chooses what ships, points `best` at it, and says and records why."""
    model, verdict = selection.choose(
        alignment.examiner,
        alignment.reference,
        alignment.trained(),
        why=alignment.state.why,
        settings=config.kto,
        method=alignment.method,
    )
    if not enough:
        verdict = replace(verdict, outcome=NO_CHANGE, why="too few pairs")
    ship(alignment, model, verdict, told_apart_by=told_apart_by, before="the SFT model")
