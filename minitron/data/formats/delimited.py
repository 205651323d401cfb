"""CSV and TSV: the first line names the columns."""

import csv
import itertools
import re
from collections.abc import Iterator

from minitron.core.errors import MinitronError
from minitron.data.formats.source import Source, one_of, unreadable

LONGEST_CELL = 1 << 30  # characters; Python's own limit is 128 KiB
csv.field_size_limit(LONGEST_CELL)


class Csv(Source):
    """Cells in quotes may hold separators, line ends and doubled quotes (RFC 4180). An empty cell is null. Columns without a name,
    which Excel writes beside a table, are left out. The separator is the one that the first line has most of: comma, semicolon
    (Excel's choice where numbers have a decimal comma), tab or |."""

    every_row_has_all_columns = True
    separators = ",;\t|"

    def rows(self) -> Iterator[dict]:
        lines = self.lines()
        first = next(lines, "")
        if told := re.fullmatch(r"sep=(.)\s*", first):  # Excel's line that names the separator
            separator, first = told[1], next(lines, "")
        else:
            unquoted = re.sub(r'"[^"]*"', "", first)
            separator = max(self.separators, key=unquoted.count)
        reader = csv.reader(itertools.chain([first], lines), delimiter=separator, strict=True)
        names: list[str] = []
        try:
            for cells in reader:
                if not names:
                    names = [name and one_of(name, cells, where=self.where) for name in cells]
                elif len(cells) > len(names):
                    raise MinitronError(
                        f"{self.where}, line {reader.line_num}, has {len(cells)} cells, but the first line names {len(names)} columns",
                        hint='put texts that hold the separator in quotes: "hello, you"',
                    )
                elif cells:
                    padded = itertools.chain(cells, itertools.repeat(""))
                    yield {name: cell or None for name, cell in zip(names, padded, strict=False) if name}
        except csv.Error as error:
            hint = 'a quote inside a cell in quotes is doubled: "he said ""hi"""'
            raise unreadable(f"{self.where}, line {reader.line_num},", error, hint=hint) from error


class Tsv(Csv):
    """A CSV file with tabs as separators."""

    separators = "\t"
