"""Judged dialogues in, train, valid and probes out. Run: minitron data recipes/demo.toml

Writes `train.parquet`, `valid.parquet`, `probes.parquet` (`data.store`; `data.shuffled` if they are ordered by hash) and, last,
`report.json`, in which every row is counted once: kept, or under the first reason that dropped it. It makes one pass over the
data: other processes, or threads where Arrow does the work, read and check parts of large files; this thread takes their results in
the order of the input, and recognises duplicates by digests.

Which dialogues are kept, and in which file, does not depend on the order of the rows: one of several equal dialogues stays; it
is a probe if any of its copies is; valid takes the dialogues whose digest is small. The bytes written depend neither on the
number of processes nor on how the rows are cut into files. Knows nothing about tokens.
"""

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path

import pyarrow as pa

from minitron import synth
from minitron.core import cluster, processes
from minitron.core.console import Progress, progress, say, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, make_folder, remove_leftovers
from minitron.core.processes import cores
from minitron.data import checked, near
from minitron.data.checked import UNANSWERED
from minitron.data.formats import open_source
from minitron.data.formats.source import Source, reading
from minitron.data.messages import HINTS, UNKNOWN_ROLE, role_map
from minitron.data.quality import Quality
from minitron.data.rules import Tally
from minitron.data.shuffled import BEYOND, DUPLICATE, NEAR_HELD_OUT, Shuffled
from minitron.data.sources import Reader, count_rows, sources
from minitron.data.store import PARTS, Part, Settled, Split, open_parts
from minitron.evaluate import checks
from minitron.recipe import mixture
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config

__all__ = ["BEYOND", "DUPLICATE", "UNANSWERED", "run"]
MOST_TOLD = 5  # at most so many warnings about sources of which nothing is kept
MOST_THREADS = 8  # that read; more would wait for the one that takes what they found, and each holds a part in memory
LEAST_BYTES = 64_000_000  # of all sources, from which on it is worth starting other processes


def run(config: Config) -> None:
    data, folder = config.data, config.layout.stage("data")
    if not data.given:
        hint = "set data.files, data.hub or data.synth_rows, or add tables [[data.source]]"
        raise MinitronError(f"{config.recipe} names no data", hint=hint, code=2)
    mixed = mixture.ingredients(data)
    readers = [Reader(each.config) for each in mixed]
    for each in mixed:
        role_map(each.config)
        Quality(each.config.clean)  # this, `role_map` and `Reader` raise for mistakes in the recipe
    if data.near_duplicates:
        near.check_installed()
    if data.cluster:
        cluster.check_installed("data.cluster")
    remove_leftovers(folder)
    found = [_sources(each.config, folder, config.seed) for each in mixed]
    every = [source for some in found for source in some]
    with open_parts(folder) as files, _split(files, config, mixed) as split:
        with progress("reading dialogues", count_rows(every)) as bar:
            filling = _Filling(split, bar, config.layout.parts("data"), size=sum(source.size for source in every))
            for origin, (each, reader, some) in enumerate(zip(mixed, readers, found, strict=True)):
                filling.read(some, reader, each, origin)
                if split.full:
                    break
        for reader in readers:
            reader.check_columns()
        if not any(reader.tally.rows_in for reader in readers):
            for error in filter(None, (source.why_empty() for source in every)):
                raise error
        settled = split.settle(want_valid=data.valid_fraction > 0)
        report = _report(split, settled, readers, every) | {"all_dropped": filling.all_dropped}
        if data.valid_fraction and report["train"] > 1 and not report["valid"]:
            hint = "make data.valid_keep less strict"
            raise MinitronError("no dialogue is judged well enough to be held out", hint=hint)
        if not report["train"]:
            hint = "raise data.near_duplicates, or set data.near_drop = 'none'"
            raise MinitronError("all dialogues to train on are near duplicates of held-out ones", hint=hint)
        # The old report is not about the files that are put in place next.
        config.layout.stage_report("data").unlink(missing_ok=True)
    atomic_write(config.layout.stage_report("data"), json.dumps(report, indent=1, ensure_ascii=False))
    shutil.rmtree(config.layout.parts("data"), ignore_errors=True)
    _show(report)
    for line in (line for source in every for line in source.told()):
        say(line)
    if settled.moved:
        share = f"data.valid_fraction = {data.valid_fraction:g} would give {report['valid'] - settled.moved}"
        say(f"dialogues held out: {report['valid']} ({share}, too few to tell anything by)")


def _sources(data: DataConfig, folder: Path, seed: int) -> list[Source]:
    """The sources that a part of the recipe names. Built-in dialogues are written to a file first."""
    if not data.synth_rows:
        return sources(data)
    path = folder / "synth.parquet"
    who = synth.Persona.of(data.persona)
    synth.write(path, rows=data.synth_rows, seed=seed, who=who, long=data.synth_long)
    return [open_source(path)]


def _split(
    files: dict[str, Part], config: Config, mixed: list[mixture.Ingredient]
) -> AbstractContextManager[Split | Shuffled]:
    data = config.data
    if data.order == "input" and not data.source and not data.near_duplicates:
        return nullcontext(Split(files, valid_fraction=data.valid_fraction, max_rows=data.max_rows))
    return Shuffled(
        files,
        config.layout.stage("data"),
        origins=mixed,
        seed=config.seed,
        valid_fraction=data.valid_fraction,
        max_rows=data.max_rows,
        near=data.near_duplicates,
        near_drop=data.near_drop,
    )


@contextmanager
def _written(tasks: list[checked.Task], *, workers: int) -> Iterator[Iterator[checked.Written]]:
    """What other processes, or the machines of a cluster, found in parts of files, in the order of the tasks."""
    address = tasks[0][1].cluster if tasks else ""
    if not address:
        with processes.ordered(checked.write, tasks, workers=min(workers, len(tasks))) as written:
            yield written
        return
    before = [checked.left(task) for task in tasks]
    unread = [(*task[:2], Path.cwd()) for task, found in zip(tasks, before, strict=True) if not found]
    with cluster.ordered(checked.send, unread, address=address) as sent:
        yield (found or checked.receive(task, next(sent)) for task, found in zip(tasks, before, strict=True))


class _Filling:
    """Puts the dialogues of sources into a split. `size` is that of all sources together, in bytes."""

    def __init__(self, split: Split | Shuffled, bar: Progress, parts: Path, *, size: int):
        self.split, self.bar, self.parts, self.size = split, bar, parts, size
        self.begun, self.bytes, self.rows = time.monotonic(), 0, 0
        self.dialogues = 0  # well-formed ones, duplicates included
        # sources that have rows but no well-formed dialogue: {"path", "rows", "reason"}
        self.all_dropped: list[dict] = []

    def read(self, found: list[Source], reader: Reader, ingredient: mixture.Ingredient, origin: int) -> None:
        """Reads the sources `found` of an ingredient, in order, until the split is full. `origin` is the ingredient's number."""
        self.reader, self.ingredient, self.origin = reader, ingredient, origin
        data, before = reader.config, self.rows
        workers, apart = data.workers or cores(), []  # apart: of each source, the parts that other processes read
        elsewhere = not data.max_rows and bool(data.cluster or (workers > 1 and self.size >= LEAST_BYTES))
        for source in found:
            with reading(source.where):
                apart.append(source.parts() if elsewhere else [])
        tally = reader.tally
        tasks = [[(part, data, self.parts) for part in of_source] for of_source in apart]
        in_threads = [bool(some) and not data.cluster and checked.by_columns(some[0], data) for some in apart]
        by_threads = [task for some, threads in zip(tasks, in_threads, strict=True) if threads for task in some]
        by_processes = [task for some, threads in zip(tasks, in_threads, strict=True) if not threads for task in some]
        if by_processes:
            make_folder(self.parts)
        with (
            processes.ordered(checked.gather, by_threads, workers=min(workers, MOST_THREADS), threads=True) as gathered,
            _written(by_processes, workers=workers) as written,
        ):
            for source, of_source, threads in zip(found, apart, in_threads, strict=True):
                rows, dialogues, dropped = tally.rows_in, self.dialogues, tally.dropped.copy()
                if of_source:
                    self._take_parts(islice(gathered if threads else written, len(of_source)))
                else:
                    self._read_here(source)
                if tally.rows_in > rows and self.dialogues == dialogues:
                    [(reason, _)] = (tally.dropped - dropped).most_common(1)
                    self.all_dropped.append({"path": source.where, "rows": tally.rows_in - rows, "reason": reason})
                if self.split.full:
                    break
        self.rows = before + tally.rows_in

    def _read_here(self, source: Source) -> None:
        before = self.bytes
        for table in checked.dialogues(self.reader, source, roles=role_map(self.reader.config)):
            self._take(table)
            if self.split.full:
                break
        self.bytes = before + source.size

    def _take_parts(self, found: Iterable[checked.Written | checked.Gathered]) -> None:
        for part in found:
            self.reader.merge(part.reader)
            self.bytes += part.size
            for table in part.tables:
                self._take(table)

    def _take(self, table: pa.Table) -> None:
        for check in table.filter(table["probe"])["check"].to_pylist():
            if check:
                checks.parse(check)  # raises for a malformed check now, on which eval would fail hours later
        tally = self.reader.tally
        self.dialogues += len(table)
        if self.ingredient.name:
            place = table.schema.get_field_index("source")
            table = table.set_column(place, "source", pa.array([self.ingredient.name] * len(table), pa.string()))
        tally.drop(DUPLICATE, self.split.add(table, origin=self.origin))
        speed = self.bytes / 1e6 / max(0.1, time.monotonic() - self.begun)
        self.bar.update(
            self.rows + tally.rows_in, f"{self.split.rows:,} kept" + (f", {speed:.0f} MB/s" if self.bytes else "")
        )


def _report(split: Split | Shuffled, settled: Settled, readers: list[Reader], every: list[Source]) -> dict:
    """What became of every row. Raises MinitronError if nothing is left to train on."""
    tally = Tally()
    for reader in readers:
        tally.merge(reader.tally)
    tally.dropped.update({reason: rows for reason, rows in settled.dropped.items() if rows})
    tally.drop(BEYOND, tally.rows_in - split.rows - tally.dropped.total())
    dropped = dict(tally.dropped.most_common())
    assert split.rows + sum(dropped.values()) == tally.rows_in, "every row is counted exactly once"
    if not tally.rows_in:
        paths = ", ".join(file["path"] for file in tally.files)
        raise MinitronError(f"there are no rows in {paths}", hint="check data.files or data.hub_split")
    if split.rows == split.parts["probes"].rows:
        what = "all dialogues that are left are probes" if split.rows else "no dialogue is left"
        reasons = "; ".join(f"{reason}: {rows:,}" for reason, rows in dropped.items()) or "none was dropped"
        hint = HINTS.get(next(iter(dropped), ""), "check data.keep and data.probes")
        if UNKNOWN_ROLE in dropped:
            hint = f"map these roles in data.roles: {', '.join(sorted(tally.unknown_roles))}"
        raise MinitronError(f"{what} of {tally.rows_in:,} rows ({reasons})", hint=hint)
    each = zip(readers, settled.origins, strict=False)
    return {
        "rows_in": tally.rows_in,
        "kept": split.rows,
        "dropped": dropped,
        "kept_without_score": {name: rows for name, rows in tally.kept_without_score.items() if rows},
        "unknown_roles": sorted(tally.unknown_roles),
        "files": tally.files,
        "sources": [{"rows_in": reader.tally.rows_in, **about} for reader, about in each],
        **({"near": settled.near} if settled.near else {}),
        "masked": dict(tally.masked),
        "messages": [about for source in every if (about := source.about())],
        **{name: part.rows for name, part in split.parts.items()},
        "chars": {name: part.chars for name, part in split.parts.items()},
    }


def _show_source(source: dict, *, of: int) -> None:
    kept = source["train"] + source["valid"] + source["probes"]
    if not kept:
        warn(f"nothing of the source '{source['name']}' is kept, of {source['rows_in']:,} rows")
        return
    share, times = source["written"] / max(1, of), source["written"] / max(1, source["train"])
    repeated = f", each {times:.3g} times" if times > 1 else ""
    say(
        f"source '{source['name']}': {kept:,} of {source['rows_in']:,} rows are kept; {source['train']:,} to train on{repeated}, "
        f"{share:.1%} of all; {source['valid']:,} held out, {source['probes']:,} probes"
    )


def _show(report: dict) -> None:
    lines = [("rows read", report["rows_in"])]
    lines += [(f"- {reason}", rows) for reason, rows in report["dropped"].items()]
    lines += [("kept", report["kept"])] + [(f"  {name}", report[name]) for name in PARTS]
    width = max(len(text) for text, _ in lines)
    for text, rows in lines:
        say(f"{text:<{width}} {rows:>12,}")
    for source in report["sources"] if len(report["sources"]) > 1 else ():
        _show_source(source, of=sum(one["written"] for one in report["sources"]))
    for name, rows in report["masked"].items():
        say(f"data.clean masked {name} in {rows:,} dialogues")
    for column, rows in report["kept_without_score"].items():
        warn(f"{rows:,} rows have no score '{column}' and passed its rule (data.missing_scores)")
    if (leaks := report.get("near", {}).get(NEAR_HELD_OUT)) and report["near"]["drop"] == "none":
        warn(
            f"{leaks:,} dialogues to train on are near duplicates of held-out ones (data.near_drop = 'held-out' drops them)"
        )
    for source in report["all_dropped"][:MOST_TOLD]:
        warn(f"not one of the {source['rows']:,} rows of {source['path']} is kept; mostly: {source['reason']}")
    if len(report["all_dropped"]) > MOST_TOLD:
        warn(f"nothing is kept of {len(report['all_dropped']) - MOST_TOLD} more (report.json names them)")
    if report["unknown_roles"]:
        warn(f"unknown roles, to be mapped in data.roles: {', '.join(report['unknown_roles'])}")
