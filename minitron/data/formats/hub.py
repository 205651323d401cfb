"""Datasets of a hub, streamed through the library `datasets`."""

from collections.abc import Iterator
from pathlib import Path

from minitron.data.formats.source import CHUNK_ROWS, Chunk, Columns, Source, unreadable
from minitron.recipe.data import DataConfig
from minitron.recipe.training import PretrainConfig


class Hub(Source):
    """The dataset that a section's hub, hub_config and hub_split name. `section` is the name of that section of the recipe."""

    every_row_has_all_columns = True

    def __init__(self, config: DataConfig | PretrainConfig, *, section: str):
        self.config, self.section = config, section
        self.path, self.where, self.name = Path(config.hub), f"the dataset {config.hub}", config.hub

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
        config = self.config
        try:
            from datasets import load_dataset  # takes a second

            stream = load_dataset(config.hub, config.hub_config or None, split=config.hub_split, streaming=True)
            for table in stream.with_format("arrow").iter(batch_size=rows):
                yield Columns(table, where=self.where)
        except Exception as error:  # network, ids, formats, from many libraries: the user can mend all of them
            options = ", ".join(f"{self.section}.{name}" for name in ("hub", "hub_config", "hub_split"))
            hint = f"check {options} and the network (private: hf auth login)"
            raise unreadable(self.where, error, hint=hint) from error
