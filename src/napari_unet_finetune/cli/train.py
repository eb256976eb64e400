"""Commands that train: `train`, `finetune` and `resume`."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ..config import ModelConfig
from ..events import RunEnded
from .console import INTERRUPTED, Json, OptionError, finish, messages, reports_errors, stops_on_interrupt, watch
from .options import (
    Channel,
    Device,
    Images,
    Masks,
    Model,
    Preset,
    Seed,
    Set,
    Sparse,
    Width,
    chosen_channel,
    training_config,
)

RunOut = Annotated[Path, typer.Option(help="New folder for the run; the model will be model.safetensors in it.")]
Later = Annotated[
    bool, typer.Option("--later", help="Only make the run folder; `resume` trains, on another computer as well.")
]
Steps = Annotated[int | None, typer.Option(help="Training steps, whatever the number of images.")]


@reports_errors
def train(
    images: Images,
    masks: Masks,
    out: RunOut,
    width: Width = 16,
    sparse: Sparse = False,
    channel: Channel = None,
    preset: Preset = "from scratch",
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    changes: Set = None,
    later: Later = False,
    as_json: Json = False,
) -> None:
    """Train a base model from scratch on images with masks."""
    from ..data.painted import holds_strokes
    from ..runs.request import FinetuneRequest

    channels = chosen_channel(images, channel)
    request = FinetuneRequest(
        task="train",
        images=images.absolute(),
        masks=masks.absolute(),
        sparse=holds_strokes(masks, sparse=sparse),
        model=ModelConfig(width=width),
        config=training_config(preset, changes, channels=channels, steps=steps, seed=seed, device=device),
    )
    _start(out, request, later=later, as_json=as_json)


@reports_errors
def finetune(
    images: Images,
    masks: Masks,
    model: Model,
    out: RunOut,
    base_images: Annotated[
        Path | None, typer.Option(help="Old images, replayed so that they are not forgotten.")
    ] = None,
    base_masks: Annotated[
        Path | None, typer.Option(help="Their masks; without them the model's own predictions are replayed.")
    ] = None,
    sparse: Sparse = False,
    channel: Channel = None,
    preset: Preset = "default",
    steps: Steps = None,
    rescale: Annotated[
        str | None, typer.Option(help="Resample images by this factor, or auto: by the size of objects.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    changes: Set = None,
    later: Later = False,
    as_json: Json = False,
) -> None:
    """Adapt a model to a new dataset with 5 to 20 annotated images."""
    from ..data.painted import holds_strokes
    from ..runs.request import FinetuneRequest

    channels = chosen_channel(images, channel)
    request = FinetuneRequest(
        task="finetune",
        images=images.absolute(),
        masks=masks.absolute(),
        sparse=holds_strokes(masks, sparse=sparse),
        checkpoint=absolute_model(model),
        base_images=base_images and base_images.absolute(),
        base_masks=base_masks and base_masks.absolute(),
        config=training_config(
            preset, changes, channels=channels, steps=steps, rescale=rescale_factor(rescale), seed=seed, device=device
        ),
    )
    _start(out, request, later=later, as_json=as_json)


@reports_errors
def resume(run: Annotated[Path, typer.Argument(help="Folder of an interrupted run.")], as_json: Json = False) -> None:
    """Go on with an interrupted run; on a CPU the result is that of an uninterrupted one."""
    from ..runs.folder import RunFolder

    _go_on(RunFolder(run), as_json=as_json)


def rescale_factor(text: str | None) -> float | None:
    """Return the factor that `text` stands for, 0 for ``auto``.

    Raises
    ------
    OptionError
        If it is no number.
    """
    try:
        return 0.0 if text == "auto" else None if text is None else float(text)
    except ValueError:
        raise OptionError(f"'--rescale {text}' is not a factor. Give a number such as 0.5, or auto.") from None


def absolute_model(model: str) -> str:
    """Return a model's file as an absolute path, and the name of a model that ships as it is."""
    from ..models.zoo import find_model

    return str(Path(model).absolute()) if Path(model).exists() and not find_model(model) else model


def _start(out: Path, request: Any, *, later: bool, as_json: bool) -> None:
    from ..runs.execute import check_request
    from ..runs.folder import RunFolder
    from .roles import heed_roles

    if later:  # nobody may look on when it is carried out
        check_request(request)
    folder = RunFolder.create(out, request)
    heeded = heed_roles(request, folder.path.absolute())
    for sentence in heeded.sentences:
        messages.print(sentence, soft_wrap=True)
    folder = RunFolder.create(out, heeded.request)
    heeded.remember()
    if later:
        finish({"run": str(out)}, as_json=as_json, show=lambda console: _show_made(console, out))
        return
    _go_on(folder, heeded.request, as_json=as_json)


def _go_on(folder: Any, asked: Any = None, *, as_json: bool) -> None:
    from ..runs.execute import run_here

    with stops_on_interrupt() as stop:
        events = run_here(folder, asked=asked, should_stop=stop)
        result = watch(events, folder.request.task.capitalize(), quiet=as_json)
    model = folder.best_path if result.ended.stopped else folder.result_path
    values = {
        "run": str(folder.path),
        "model": str(model),
        **asdict(result.ended),
        "notices": list(result.model.card.provenance.notes),
    }
    finish(values, as_json=as_json, show=lambda console: _show(console, result.ended, model))
    if result.ended.stopped:
        command = f"unet-finetune resume {shlex.quote(str(folder.path))}"
        messages.print(f"To continue: {command}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED)


def _show_made(console: Console, run: Path) -> None:
    command = f"unet-finetune resume {shlex.quote(str(run))}"
    console.print(f"The run is ready in {run}. Wherever its paths lead to the same files: {command}", soft_wrap=True)


def _show(console: Console, ended: RunEnded, model: Path) -> None:
    console.print(Text(ended.summary, style="bold"), soft_wrap=True)
    console.print(f"Model: {model} (threshold {ended.threshold:.2f})", soft_wrap=True)
