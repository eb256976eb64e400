"""Write docs/settings.md and docs/commands.md, the tables of all settings and options, from their declarations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from napari_unet_finetune.cli import NAME, app
from napari_unet_finetune.cli.options import describe
from napari_unet_finetune.config import PRESETS, FinetuneConfig, PredictConfig, fields_of

DOCS = Path(__file__).parent.parent / "docs"
BOUNDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"), ("multiple_of", "multiple of"))
SETTINGS_OPENING = """\
# Settings

`tools/write_reference.py` writes this page from `config.py`: do not edit it. `unet-finetune settings` prints the same.

Change a setting of a training with `--set NAME=VALUE`, as often as needed, or in Python with
`FinetuneConfig(preset="default", NAME=VALUE)`. `--steps`, `--seed` and `--device` are short for the settings of
these names. A setting whose default is empty takes its value from the model or is switched off, as its line says; write
`--set NAME=null` to empty it.

"""
COMMANDS_OPENING = f"""\
# Commands

`tools/write_reference.py` writes this page from the commands: do not edit it. `{NAME} --help` prints the same.

"""


def settings_page() -> str:
    """Return the page of the settings as Markdown."""
    parts = (
        SETTINGS_OPENING,
        "## Training\n\n",
        "For `train`, `finetune`, `curve`, `cross-validate` and `can-learn`; [presets](#presets) are at the end.\n\n",
        *_sections(FinetuneConfig),
        "## Prediction\n\n",
        "For `predict`, `evaluate` and `estimate`, with `--set`; in Python `PredictConfig(NAME=VALUE)`.\n\n",
        *_sections(PredictConfig),
        "## Presets\n\nWhat each preset sets otherwise than `default`.\n\n",
        _table(("setting", *_others()), _preset_rows()),
    )
    return "".join(parts).rstrip("\n") + "\n"


def commands_page() -> str:
    """Return the page of the commands as Markdown."""
    commands = {name: one for name, one in vars(typer.main.get_command(app))["commands"].items() if not one.hidden}
    index = [(f"[`{name}`](#{name})", one.help.partition("\n\n")[0]) for name, one in commands.items()]
    parts = (
        COMMANDS_OPENING,
        _table(("command", "does"), index),
        *(_command(name, one) for name, one in commands.items()),
    )
    return "".join(parts).rstrip("\n") + "\n"


def _command(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one not in arguments]
    required = [part for one in options if one.required for part in (one.opts[0], "…")]
    call = " ".join((NAME, name, *(one.name.upper() for one in arguments), *required))
    rows = [(f"`{one.name.upper()}`", "required", one.help) for one in arguments]
    rows += [
        (", ".join(f"`{part}`" for part in (*one.opts, *one.secondary_opts)), _default(one), one.help)
        for one in options
    ]
    return f"## {name}\n\n{command.help}\n\n```\n{call}\n```\n\n{_table(('option', 'default', 'meaning'), rows)}"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    is_left_out = option.default is None or option.default is False
    return "" if is_left_out else f"`{option.default}`"


def _sections(config: type[BaseModel]) -> Iterator[str]:
    """Yield one table of the settings without a group and one per group."""
    fields, rows = fields_of(config), sorted(describe(config), key=lambda row: row[0].rpartition(".")[0])
    for group, members in groupby(rows, key=lambda row: row[0].rpartition(".")[0]):
        if group:
            yield f"### `{group}`\n\n{config.model_fields[group].description}\n\n"
        lines = [(f"`{name}`", _code(default), _allowed(fields[name]), text) for name, default, text in members]
        yield _table(("name", "default", "allowed", "meaning"), lines)


def _allowed(field: FieldInfo) -> str:
    """Return the values that a setting takes: names, a range, or its type."""
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if any(get_origin(kind) is tuple for kind in kinds):
        return 'a list, such as `["a", "b"]`'
    names = [
        name for kind in kinds for name in (get_args(kind) if get_origin(kind) else (kind,)) if isinstance(name, str)
    ]
    if names:
        return ", ".join(f"`{name}`" for name in names)
    bounds = [
        f"{sign} {getattr(bound, key)}" for bound in field.metadata for key, sign in BOUNDS if hasattr(bound, key)
    ]
    kind = "`true`, `false`" if bool in kinds else "whole number" if int in kinds else "number"
    return " ".join((kind, ", ".join(bounds))).strip()


def _others() -> list[str]:
    return [preset for preset in PRESETS if preset != "default"]


def _preset_rows() -> Iterator[tuple[str, ...]]:
    defaults = _flat("default")
    presets = [_flat(preset) for preset in _others()]
    for name, _, _ in describe(FinetuneConfig):
        values = [preset.get(name, defaults.get(name)) for preset in presets]
        if any(value != defaults.get(name) for value in values):
            yield (f"`{name}`", *("" if value == defaults.get(name) else _code(str(value)) for value in values))


def _flat(preset: Any) -> dict[str, Any]:
    """Return all settings of `preset` by their dotted names; an empty group counts as its defaults."""
    fields = fields_of(FinetuneConfig)
    values = {name: fields[name].get_default(call_default_factory=True) for name, _, _ in describe(FinetuneConfig)}
    return values | dict(_flattened(FinetuneConfig(preset=preset).model_dump()))


def _flattened(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _code(text: str) -> str:
    plain = {"True": "true", "False": "false"}.get(text, text)
    return f"`{plain}`" if plain else ""


def _table(columns: tuple[str, ...], rows: Any) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n\n"


if __name__ == "__main__":
    for name, page in (("settings", settings_page()), ("commands", commands_page())):
        (DOCS / f"{name}.md").write_text(page, encoding="utf-8")
        print(DOCS / f"{name}.md")
