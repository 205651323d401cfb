"""Finds what is wrong with a recipe's data before the first long stage. Reads only the beginnings of files.

    check(config)      # raises MinitronError, or says nothing

Knows nothing about the stages that read the rest.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from minitron.core.errors import MinitronError
from minitron.data import documents, labelled
from minitron.data.formats.source import Source, reading
from minitron.data.messages import role_map
from minitron.data.quality import Quality
from minitron.data.rules import Rules, find_column
from minitron.data.shapes import Shape
from minitron.data.sources import column_of_rule_missing, sources
from minitron.recipe import mixture
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config

MOST_FILES = 32  # at most so many files are read, evenly spread; that files exist is checked of all
HEAD_ROWS = 1000  # rows that are read of a file of labels


def check(config: Config) -> None:
    """Raises MinitronError for what a stage would stumble over: files that are missing, empty or unreadable, missing columns,
    invalid rules and labels, and no held-out share. Datasets of a hub are not looked at."""
    data = config.data
    _held_out(config)
    for part in mixture.ingredients(data):
        rules = Rules(part.config)
        role_map(part.config)
        Quality(part.config.clean)
        if part.config.files:
            option = f"the source '{part.name}'" if part.name else "data.files"
            _dialogues(sources(replace(part.config, hub="")), part.config, rules, option=option)
    if config.pretrain and config.pretrain.files:
        found = documents.sources(config.pretrain)
        texts = (next(documents.documents_of(source, column=config.pretrain.column), "") for source in _some(found))
        _not_empty(any(texts) or len(found) > MOST_FILES, found, option="pretrain.files")
    for part in config.tokenizer.mixture:
        found = documents.of_files(part.files, option="tokenizer.mixture")
        texts = (
            next(documents.documents_of(source, column=part.column, option=documents.OF_MIXTURE), "")
            for source in _some(found)
        )
        _not_empty(any(texts) or len(found) > MOST_FILES, found, option="tokenizer.mixture")
    if config.reject and config.reject.files:
        found = labelled.files(config)
        for rules, _ in labelled.judging_rules(config):
            _dialogues(found, data, rules, option="reject.files")
        if not labelled.judged(config):
            _labels(config, found)


def _held_out(config: Config) -> None:
    for section, used in (("data", not config.base), ("pretrain", config.pretrain is not None)):
        if used and not getattr(config, section).valid_fraction:
            hint = "set a share such as 0.02: the best checkpoint is chosen by what is held out"
            raise MinitronError(f"{section}.valid_fraction is 0", hint=hint, code=2)


def _dialogues(found: list[Source], data: DataConfig, rules: Rules, *, option: str) -> None:
    """Checks each file's columns. If rows can have different columns, reads as many rows as it takes to meet the columns of all rules."""
    names: dict[str, None] = {}
    for source in _some(found):
        with reading(source.where):
            for chunk in filter(lambda chunk: chunk.rows, source.chunks()):
                names |= dict.fromkeys(chunk.names)
                Shape.find(chunk.names, config=data, where=source.where)
                for leaf in rules.leaves:
                    if find_column(leaf.name, chunk.names):
                        chunk.values(leaf)
                    elif source.every_row_has_all_columns:
                        raise column_of_rule_missing(rules, leaf.name, names=chunk.names, where=source.where)
                if all(find_column(leaf.name, names) for leaf in rules.leaves):
                    break
    _not_empty(bool(names) or len(found) > MOST_FILES, found, option=option)
    for leaf in rules.leaves:
        if not find_column(leaf.name, names) and len(found) <= MOST_FILES:
            raise column_of_rule_missing(rules, leaf.name, names=names, where=option)


def _labels(config: Config, found: list[Source]) -> None:
    dropped, usable, rows = Counter(), 0, 0
    for source in _some(found):
        with reading(source.where):
            for row in islice(source.rows(), HEAD_ROWS):
                rows += 1
                usable += len(labelled.of_row(row, roles=role_map(config.data), where=source.where, dropped=dropped))
    _not_empty(bool(rows) or len(found) > MOST_FILES, found, option="reject.files")
    if rows and not usable:
        raise labelled.none_of_use(dropped)


def _some(found: list[Source]) -> list[Source]:
    return found[:: -(-len(found) // MOST_FILES)]


def _not_empty(anything: bool, found: Iterable[Source], *, option: str) -> None:
    if not anything:
        for error in filter(None, (source.why_empty() for source in found)):
            raise error
        paths = ", ".join(source.where for source in found)
        raise MinitronError(f"{option}: there is nothing in {paths}", hint="check that the files are whole")
