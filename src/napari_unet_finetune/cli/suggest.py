"""The command `suggest`: which images to annotate next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from .console import Json, finish, reports_errors, show_result, watch
from .options import Channel, Device, Images, Model, chosen_channel

Mode = Annotated[str, typer.Option(help="start: a varied choice; next: what the model is least sure of; auto: decide.")]
_MODES = ("auto", "start", "next")


@reports_errors
def suggest(
    images: Images,
    model: Model,
    masks: Annotated[Path | None, typer.Option(help="Masks of the images that are annotated already.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many images to suggest.")] = 5,
    mode: Mode = "auto",
    channel: Channel = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Tell which images of a folder are worth annotating next, and why."""
    from ..data.folders import pair_folders
    from ..io.images import list_images, without_labels
    from ..models.load import load_model
    from ..project.image import with_unique_names
    from ..suggest.suggestion import suggest

    if mode not in _MODES:
        raise typer.BadParameter(f"choose one of {', '.join(_MODES)}", param_hint="--mode")
    found = with_unique_names(list_images(images), {})
    pairs = pair_folders(images, masks).pairing.pairs if masks else ()
    annotated = [ref.name for ref in found if ref in {pair.image for pair in pairs}]
    events = suggest(
        load_model(model).seeing(chosen_channel(images, channel)),
        without_labels(found),
        count,
        annotated=annotated,
        mode=cast("Literal['auto', 'start', 'next']", mode),
        device=cast("Any", device),
    )
    suggestions = watch(events, "Look", quiet=as_json)
    values = {"annotated": annotated, **suggestions.to_json()}
    finish(values, as_json=as_json, show=lambda console: show_result(console, suggestions))
