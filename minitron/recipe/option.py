"""An option of a recipe: a field of a dataclass with its help and its bounds. Knows nothing about which options there are."""

import dataclasses
from dataclasses import field
from typing import Any


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    max_bytes: int | None = None,
    max_items: int | None = None,
    decides: bool = True,
) -> Any:
    """A dataclass field with its help text and the values it may have: one of `choices`; a number from `low` to `high`, both
    allowed, or between `above` and `below`, neither allowed; a text of at most `max_bytes` in UTF-8; a list of at most
    `max_items`. With `decides` false the section's stages make the same for every value: a change is no reason to run them again."""
    metadata = {key: value for key, value in locals().items() if key != "default"}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def plain(value: Any) -> Any:
    """`value` with dicts in place of dataclasses, also inside dicts and lists; anything else stays as it is."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value
