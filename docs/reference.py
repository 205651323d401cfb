"""Writes docs/recipes.md and docs/commands.md from the code's own help. Run: .venv/bin/python docs/reference.py."""

import argparse
import dataclasses
import typing
from pathlib import Path

from minitron.cli.arguments import parser
from minitron.recipe import alignment, data, schema

HEAD = """# Recipes

A recipe is a TOML file with a model's whole life. Every option has a default; `section.key=value` on the command line
goes over the recipe. A section that is left out of `[pretrain] [reject] [kto]` is a stage that does not run.
This page is made by `python docs/reference.py`.
"""
# Tables within sections -> their options. A [[data.source]] also has those of [data] that DialogueConfig holds.
WITHIN = {
    "[data.persona]": data.PersonaConfig,
    "[[data.persona.facts]]": data.Fact,
    "[[data.source]]": data.DataSource,
    "[[data.fetch]]": data.Fetch,
    "[[data.sources]]": data.Source,
    "A part of tokenizer.mixture": schema.MixturePart,
    "A preset of [reject.presets]": alignment.Preset,
    "[kto.guards] and [feedback.guards]": alignment.GuardsConfig,
}


def recipes() -> str:
    """The page of recipe options, in Markdown."""
    lines = [HEAD, "## At the top", "", *_table([f for f in dataclasses.fields(schema.Config) if f.metadata])]
    hints = typing.get_type_hints(schema.Config)
    for field in dataclasses.fields(schema.Config):
        kind = next(
            (k for k in (hints[field.name], *typing.get_args(hints[field.name])) if dataclasses.is_dataclass(k)), None
        )
        if kind:
            lines += [
                "",
                f"## [{field.name}]",
                "",
                (kind.__doc__ or "").split("\n")[0],
                "",
                *_table(dataclasses.fields(kind)),
            ]
    lines += [
        "",
        "## [pretrain.optim] and [sft.optim]",
        "",
        "The options of [optim], for that stage alone; what is left out is as in [optim].",
    ]
    for title, kind in WITHIN.items():
        told, fields = (kind.__doc__ or "").split("\n")[0], dataclasses.fields(kind)
        if kind is data.DataSource:
            shared = [field.name for field in dataclasses.fields(data.DialogueConfig)]
            told += f" Besides the options below it has these of [data]: {', '.join(shared)}."
            fields = [field for field in fields if field.name not in shared]
        if kind is alignment.Preset:
            told += f" The default ones: {'; '.join(f'`{name}`, {_set(p)}' for name, p in alignment.PRESETS.items())}."
        lines += ["", f"## {title}", "", told, "", *_table(fields)]
    return "\n".join(lines) + "\n"


def _set(section: typing.Any) -> str:
    """The options of a section that are not at their defaults."""
    fields = dataclasses.fields(section)
    return ", ".join(f"{f.name} = {getattr(section, f.name)}" for f in fields if getattr(section, f.name) != f.default)


def _table(fields: typing.Iterable[dataclasses.Field]) -> list[str]:
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for field in fields:
        if not field.metadata:  # a section within the section, with a table of its own
            continue
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
        if field.name == "presets":
            default = ", ".join(default)
        shown = "" if default is None else "true" if default is True else "false" if default is False else default
        shown = " ".join(shown.split()) if isinstance(shown, str) else shown  # a line end would end the row
        choices = ", ".join(filter(None, field.metadata["choices"]))
        choices = f" ({choices})" if choices else ""
        rows.append(f"| `{field.name}` | `{shown}` | {field.metadata['help']}{choices} |".replace("`` |", " |"))
    return rows


def commands() -> str:
    """The page of commands, in Markdown."""
    top = parser()
    (choices,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    lines = [
        "# Commands",
        "",
        f"{top.description} {top.epilog}",
        "",
        "This page is made by `python docs/reference.py`.",
    ]
    for name, command in choices.choices.items():
        arguments = [a for a in command._actions if not isinstance(a, argparse._HelpAction)]
        shown = " ".join(_typed(a) for a in arguments if a.required or not a.option_strings)
        lines += ["", f"## minitron {name} {shown}".rstrip(), "", command.description, ""]
        for argument in arguments:
            flag = " ".join(filter(None, ("/".join(argument.option_strings), _value(argument))))
            flag += " ..." if argument.nargs == "+" else ""
            required = " (required)" if argument.option_strings and argument.required else ""
            lines.append(f"- `{flag}`{required}" + (f": {argument.help}" if argument.help else ""))
    return "\n".join(lines) + "\n"


def _typed(argument: argparse.Action) -> str:
    """An argument as it is typed, in brackets if it may be left out."""
    value = {"?": "[{}]", "*": "[{} ...]"}.get(argument.nargs or "", "{}").format(_value(argument))
    return " ".join([*argument.option_strings[:1], value])


def _value(argument: argparse.Action) -> str:
    """The placeholder for an argument's value; empty if the argument takes none."""
    if argument.choices:
        return "|".join(argument.choices)
    return "" if argument.nargs == 0 else argument.metavar or argument.dest.upper()


if __name__ == "__main__":
    Path("docs/recipes.md").write_text(recipes(), encoding="utf-8")
    Path("docs/commands.md").write_text(commands(), encoding="utf-8")
