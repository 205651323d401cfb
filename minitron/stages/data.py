"""Judged dialogues in, train, valid and probes out. Run: minitron data recipes/demo.toml

Writes `train.parquet`, `valid.parquet`, `probes.parquet` (`data.store`, input order) and, last, `report.json`, in which
every row is counted once: kept, or under the first reason that dropped it. One pass over the data; what it remembers
of past dialogues is their digests, on disk.

Which dialogues are kept, and in which file, does not depend on the order of the rows: of equal dialogues one stays; it
is a probe if any of its copies is; valid takes those whose digest is small. Knows nothing about tokens.
"""

import json
from collections.abc import Iterable

from minitron import synth
from minitron.core.console import Progress, progress, say, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, remove_leftovers
from minitron.data.formats import open_source
from minitron.data.formats.source import Source
from minitron.data.messages import HINTS, NO_ANSWER, UNKNOWN_ROLE, digest_of, role_map, to_messages
from minitron.data.quality import Quality
from minitron.data.rules import Tally
from minitron.data.sources import Reader, count_rows, sources
from minitron.data.store import PARTS, Split, open_split
from minitron.evaluate import checks
from minitron.recipe.schema import Config

DUPLICATE = "exact duplicate"
UNANSWERED = "a probe without an answer: write one that passes its check"
BEYOND = "not needed: data.max_rows reached"


def run(config: Config) -> None:
    data, folder = config.data, config.layout.stage("data")
    if not (data.synth_rows or data.files or data.hub):
        hint = "set data.files, data.hub or data.synth_rows"
        raise MinitronError(f"{config.recipe} names no data", hint=hint, code=2)
    reader, roles, quality = Reader(data), role_map(data), Quality(data.clean)  # all check the recipe
    remove_leftovers(folder)
    if data.synth_rows:
        path = folder / "synth.parquet"
        synth.write(path, rows=data.synth_rows, seed=config.seed)
        found = [open_source(path)]
    else:
        found = sources(data)
    with open_split(folder, score_columns=reader.rules.columns) as split:
        with progress("reading dialogues", count_rows(found)) as bar:
            _fill(split, reader, found, roles=roles, quality=quality, bar=bar)
        if not reader.tally.rows_in:
            for error in filter(None, (source.why_empty() for source in found)):
                raise error
        report = _report(split, reader.tally)
        report["masked"] = dict(quality.masked)
        report["messages"] = [about for source in found if (about := source.about())]
        moved = split.settle(want_valid=data.valid_fraction > 0)
        report |= {name: part.rows for name, part in split.parts.items()}
        report["chars"] = {name: part.chars for name, part in split.parts.items()}
        if data.valid_fraction and report["train"] > 1 and not report["valid"]:
            hint = "make data.valid_keep less strict"
            raise MinitronError("no dialogue is judged well enough to be held out", hint=hint)
        # The old report is not about what now takes its place.
        config.layout.stage_report("data").unlink(missing_ok=True)
    atomic_write(config.layout.stage_report("data"), json.dumps(report, indent=1, ensure_ascii=False))
    _show(report)
    for line in (line for source in found for line in source.told()):
        say(line)
    if moved:
        share = f"data.valid_fraction = {data.valid_fraction:g} would give {report['valid'] - moved}"
        say(f"dialogues held out: {report['valid']} ({share}, too few to tell anything by)")


def _fill(
    split: Split, reader: Reader, found: Iterable[Source], *, roles: dict[str, str], quality: Quality, bar: Progress
) -> None:
    data, tally = reader.config, reader.tally
    for rows in reader.read(found):
        for row in rows:
            if data.max_rows and split.rows >= data.max_rows:
                tally.drop(BEYOND, tally.rows_in - split.rows - tally.dropped.total())
                return
            messages = to_messages(row.turns, roles=roles, unknown=tally.unknown_roles)
            if isinstance(messages, list):
                messages = quality.of(messages)
            if isinstance(messages, str):
                tally.drop(UNANSWERED if row.probe and messages == NO_ANSWER else messages)
                continue
            if row.probe and row.check:
                checks.parse(row.check)  # eval would stumble over it, hours later
            digest = digest_of(messages)
            share = int.from_bytes(digest[:8], "big") / 2**64
            valid = row.may_be_valid and share < data.valid_fraction
            part = "probes" if row.probe else "valid" if valid else "train"
            if not split.add(row, messages, digest=digest, part=part):
                tally.drop(DUPLICATE)
        bar.update(tally.rows_in, f"{split.rows:,} kept")


def _report(split: Split, tally: Tally) -> dict:
    """What became of every row; raises if nothing is left to train on."""
    dropped = dict(tally.dropped.most_common())
    assert split.rows + sum(dropped.values()) == tally.rows_in, "every row is counted exactly once"
    if not tally.rows_in:
        paths = ", ".join(file["path"] for file in tally.files)
        raise MinitronError(f"there are no rows in {paths}", hint="check data.files or data.hub_split")
    if split.rows == split.parts["probes"].rows:
        what = "all dialogues that are left are probes" if split.rows else "no dialogue is left"
        reasons = "; ".join(f"{reason}: {rows:,}" for reason, rows in dropped.items())
        hint = HINTS.get(next(iter(dropped), ""), "check data.keep and data.probes")
        if UNKNOWN_ROLE in dropped:
            hint = f"map these roles in data.roles: {', '.join(sorted(tally.unknown_roles))}"
        raise MinitronError(f"{what} of {tally.rows_in:,} rows ({reasons})", hint=hint)
    report = {"rows_in": tally.rows_in, "kept": split.rows, "dropped": dropped}
    report["kept_without_score"] = {name: rows for name, rows in tally.kept_without_score.items() if rows}
    report["unknown_roles"] = sorted(tally.unknown_roles)
    return report | {"files": tally.files}


def _show(report: dict) -> None:
    lines = [("rows read", report["rows_in"])]
    lines += [(f"- {reason}", rows) for reason, rows in report["dropped"].items()]
    lines += [("kept", report["kept"])] + [(f"  {name}", report[name]) for name in PARTS]
    width = max(len(text) for text, _ in lines)
    for text, rows in lines:
        say(f"{text:<{width}} {rows:>12,}")
    for name, rows in report["masked"].items():
        say(f"data.clean masked {name} in {rows:,} dialogues")
    for column, rows in report["kept_without_score"].items():
        warn(f"{rows:,} rows have no score '{column}' and passed its rule (data.missing_scores)")
    if report["unknown_roles"]:
        warn(f"unknown roles, to be mapped in data.roles: {', '.join(report['unknown_roles'])}")
