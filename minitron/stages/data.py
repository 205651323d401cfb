"""Judged dialogues in, train, valid and probes out. Run: minitron data recipes/demo.toml

Writes `train.parquet`, `valid.parquet`, `probes.parquet` (`data.store`, input order) and, last, `report.json`, in which
every row is counted once: kept, or under the first reason that dropped it. One pass over the data: other processes read and
check parts of large files, this one takes what they found in the order of the input, and remembers past dialogues by their digests.

Which dialogues are kept, and in which file, does not depend on the order of the rows: of equal dialogues one stays; it
is a probe if any of its copies is; valid takes those whose digest is small. The bytes written depend neither on the number of
processes nor on how the rows are cut into files. Knows nothing about tokens.
"""

import json
import os
import time
from pathlib import Path

import pyarrow as pa

from minitron import synth
from minitron.core.console import Progress, progress, say, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, remove_leftovers
from minitron.core.processes import cores, ordered
from minitron.data import checked
from minitron.data.checked import UNANSWERED
from minitron.data.formats import open_source
from minitron.data.formats.source import Source, reading
from minitron.data.messages import HINTS, UNKNOWN_ROLE, role_map
from minitron.data.quality import Quality
from minitron.data.rules import Tally
from minitron.data.sources import Reader, count_rows, sources
from minitron.data.store import PARTS, Split, open_split
from minitron.evaluate import checks
from minitron.recipe.schema import Config

__all__ = ["BEYOND", "DUPLICATE", "UNANSWERED", "run"]
DUPLICATE = "exact duplicate"
BEYOND = "not needed: data.max_rows reached"
MOST_TOLD = 5  # sources of which nothing is kept
LEAST_BYTES = 64_000_000  # of files, for which it is worth while to begin other processes


def run(config: Config) -> None:
    data, folder = config.data, config.layout.stage("data")
    if not (data.synth_rows or data.files or data.hub):
        hint = "set data.files, data.hub or data.synth_rows"
        raise MinitronError(f"{config.recipe} names no data", hint=hint, code=2)
    reader = Reader(data)
    role_map(data)
    Quality(data.clean)  # all check the recipe
    remove_leftovers(folder)
    if data.synth_rows:
        path = folder / "synth.parquet"
        synth.write(path, rows=data.synth_rows, seed=config.seed, who=synth.Persona.of(data.persona))
        found = [open_source(path)]
    else:
        found = sources(data)
    with open_split(folder, valid_fraction=data.valid_fraction, max_rows=data.max_rows) as split:
        with progress("reading dialogues", count_rows(found)) as bar:
            filling = _Filling(split, reader, bar)
            filling.read(found, folder)
        reader.check_columns()
        if not reader.tally.rows_in:
            for error in filter(None, (source.why_empty() for source in found)):
                raise error
        report = _report(split, reader.tally) | {"all_dropped": filling.all_dropped}
        report["masked"] = dict(reader.tally.masked)
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


class _Filling:
    """Takes the dialogues of sources into a split."""

    def __init__(self, split: Split, reader: Reader, bar: Progress):
        self.split, self.reader, self.bar = split, reader, bar
        self.begun, self.bytes = time.monotonic(), 0
        self.dialogues = 0  # well-formed ones, of which some may have been there before
        self.all_dropped: list[
            dict
        ] = []  # sources that have rows and not one such dialogue: {"path", "rows", "reason"}

    def read(self, found: list[Source], folder: Path) -> None:
        """All of them, in order, or as many as are wanted."""
        data = self.reader.config
        size = sum(source.size for source in found)
        workers = 1 if data.max_rows or size < LEAST_BYTES else data.workers or cores()
        parts = []
        for source in found:
            with reading(source.where):
                parts.append(source.parts() if workers > 1 else [])
        tally = self.reader.tally
        for source, apart in zip(found, parts, strict=True):
            rows, dialogues, dropped = tally.rows_in, self.dialogues, tally.dropped.copy()
            if apart:
                self._read_apart(apart, folder, workers)
            else:
                self._read_here(source)
            if tally.rows_in > rows and self.dialogues == dialogues:
                [(reason, _)] = (tally.dropped - dropped).most_common(1)
                self.all_dropped.append({"path": str(source.path), "rows": tally.rows_in - rows, "reason": reason})
            if self.split.full:
                break
        tally.drop(BEYOND, tally.rows_in - self.split.rows - tally.dropped.total())

    def _read_here(self, source: Source) -> None:
        before = self.bytes
        for table in checked.dialogues(self.reader, source, roles=role_map(self.reader.config)):
            self._take(table)
            if self.split.full:
                break
        self.bytes = before + source.size

    def _read_apart(self, parts: list[Source], folder: Path, workers: int) -> None:
        tasks = [(part, self.reader.config, folder / f".part-{i}.{os.getpid()}.tmp") for i, part in enumerate(parts)]
        try:
            with ordered(checked.write, tasks, workers=min(workers, len(parts))) as written:
                for path, reader, size in written:
                    self.reader.merge(reader)
                    self.bytes += size
                    for table in checked.read(path):
                        self._take(table)
                    path.unlink()
        finally:
            for _, _, path in tasks:
                path.unlink(missing_ok=True)

    def _take(self, table: pa.Table) -> None:
        for check in table.filter(table["probe"])["check"].to_pylist():
            if check:
                checks.parse(check)  # eval would stumble over it, hours later
        tally = self.reader.tally
        self.dialogues += len(table)
        tally.drop(DUPLICATE, self.split.add(table))
        speed = self.bytes / 1e6 / max(0.1, time.monotonic() - self.begun)
        self.bar.update(tally.rows_in, f"{self.split.rows:,} kept" + (f", {speed:.0f} MB/s" if self.bytes else ""))


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
    for source in report["all_dropped"][:MOST_TOLD]:
        warn(f"not one of the {source['rows']:,} rows of {source['path']} is kept; mostly: {source['reason']}")
    if len(report["all_dropped"]) > MOST_TOLD:
        warn(f"nothing is kept of {len(report['all_dropped']) - MOST_TOLD} more (report.json names them)")
    if report["unknown_roles"]:
        warn(f"unknown roles, to be mapped in data.roles: {', '.join(report['unknown_roles'])}")
