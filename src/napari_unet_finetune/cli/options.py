"""Options that several commands share, and settings from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from ..config import PRESETS, ChannelRule, FinetuneConfig, PredictConfig, PresetName, explain, fields_of, group_of
from ..errors import DataError
from .console import OptionError, messages

if TYPE_CHECKING:
    from ..engine import Cluster

Images = Annotated[Path, typer.Option(help="Folder with the images, or one stack.")]
Masks = Annotated[Path, typer.Option(help="Folder with their masks, or one stack.")]
MODEL_HELP = "Model file (.safetensors, its .zip package, PAULow .pth) or the name of a model that ships."
Model = Annotated[str, typer.Option(help=MODEL_HELP)]
Out = Annotated[Path, typer.Option(help="Folder for the output of this command.")]
Preset = Annotated[str, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change one setting; can be repeated. `settings` lists all."),
]
BaseSet = Annotated[
    list[str] | None, typer.Option("--base-set", metavar="NAME=VALUE", help="The same for the base model's training.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The same seed on a CPU gives the same result.")]
Channel = Annotated[
    str | None,
    typer.Option(help="The one channel to see of images that have several: its name, or its number counted from 0."),
]
Sparse = Annotated[bool, typer.Option(help="Masks are strokes: 0 not annotated, 1 background, 2 object.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes on this computer that share the work; needs the extra cluster.")
]
Scheduler = Annotated[
    str | None, typer.Option(help="Dask scheduler whose workers share the work: tcp://HOST:PORT, or the file it wrote.")
]
Width = Annotated[int, typer.Option(help="Filters of the first level: 16 is light, 64 is the study's network.")]

# An option of its own, and the version of the list itself.
SETTLED_ELSEWHERE = ("preset", "version")


@contextmanager
def workers_asked_for(workers: int | None, scheduler: str | None) -> Iterator[Cluster | None]:
    """Yield the workers that two options ask for, None if neither does.

    Raises
    ------
    OptionError
        If both do.
    RunError
        If there are no such workers.
    """
    if workers is None and scheduler is None:
        yield None
        return
    if workers is not None and scheduler is not None:
        raise OptionError("--workers starts workers on this computer, and --scheduler takes others. Give one of them.")
    from ..engine import Cluster

    tell = partial(messages.print, soft_wrap=True)
    with Cluster(workers, scheduler, tell=tell) as cluster:
        yield cluster


def preset_name(name: str) -> PresetName:
    """Return the preset called `name`; hyphens and underscores stand for spaces.

    Raises
    ------
    OptionError
        If there is no such preset.
    """
    plain = name.replace("-", " ").replace("_", " ").lower()
    for preset in PRESETS:
        if preset == plain:
            return preset
    raise OptionError(f"Preset '{name}' does not exist. Choose one of: {', '.join(PRESETS)}.")


def image_counts(text: str, *, least: int = 1) -> tuple[int, ...]:
    """Return numbers of images from a list such as ``5, 10``; raises `OptionError` if it is none."""
    from ..project.curve_plan import parse_counts

    try:
        return parse_counts(text, least=least)
    except DataError as error:
        raise OptionError(str(error)) from None


def chosen_channel(images: Path, channel: str | None) -> ChannelRule | None:
    """Return the rule that takes the channel of the images that is asked for; None if none is.

    Raises
    ------
    DataError
        If the images have no such channel.
    """
    if channel is None:
        return None
    from ..data.channels import find_channel

    return find_channel(images, channel)


def training_config(preset: str, changes: list[str] | None, **options: Any) -> FinetuneConfig:
    """Return the settings of `preset`, changed by NAME=VALUE texts and by options that are not None.

    Raises
    ------
    OptionError
        If a name does not exist or a value does not fit.
    """
    config = FinetuneConfig(preset=preset_name(preset))
    if config.epochs is not None and options.get("steps") is not None:
        raise OptionError(
            f"Preset '{config.preset}' counts epochs, not steps. Write --set epochs=N instead of --steps."
        )
    given = {name: value for name, value in options.items() if value is not None}
    return _changed(config, {**given, **_parse(changes or [])})


def prediction_config(changes: list[str] | None, **options: Any) -> PredictConfig:
    """Return the settings of a prediction; see `training_config`."""
    given = {name: value for name, value in options.items() if value is not None}
    return _changed(PredictConfig(), {**given, **_parse(changes or [])})


def _parse(changes: list[str]) -> dict[str, Any]:
    parsed = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise OptionError(f"'--set {change}' has no value. Write it as NAME=VALUE.")
        parsed[name.strip()] = _value(value.strip())
    return parsed


def _value(text: str) -> Any:
    """Read numbers, true, false and null as JSON does; anything else is text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


C = TypeVar("C", FinetuneConfig, PredictConfig)


def _changed(config: C, changes: dict[str, Any]) -> C:
    """Return `config` with changes; a dotted name reaches into a group, such as augment.p_gamma."""
    known, values = fields_of(type(config)).keys() - SETTLED_ELSEWHERE, config.model_dump()
    for name, value in sorted(changes.items(), key=lambda change: change[0].count(".")):  # a group before what is in it
        if name not in known:
            raise OptionError(f"Setting '{name}' does not exist. The command `unet-finetune settings` lists all.")
        *groups, last = name.split(".")
        target = values
        for group in groups:
            if not isinstance(target[group], dict | None):
                raise OptionError(
                    f"'{group}' and '{name}' are both set, but one holds the other. Set only one of them."
                )
            target[group] = dict(target[group] or {})  # a group may be empty by default
            target = target[group]
        target[last] = value
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        raise OptionError(explain(error)) from None


def describe(config: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Return name, default and description of every setting of `config` that `--set` can change."""
    rows = []
    for name, field in fields_of(config).items():
        if name not in SETTLED_ELSEWHERE and group_of(field) is None:
            default = field.get_default(call_default_factory=True)
            rows.append((name, "" if default is None else str(default), field.description or ""))
    return rows
