"""Commands that answer a question: `estimate`, `can-learn`, `cross-validate`, `forecast`, `weigh`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import TRIAL_KEEPS, TRIAL_SECONDS, TRIAL_STEPS
from ..errors import DataError
from ..result import Result
from .console import (
    FAILED,
    INTERRUPTED,
    Json,
    OptionError,
    annotated_images,
    finish,
    messages,
    reports_errors,
    show_result,
    stop_if_none,
    stops_on_interrupt,
    watch,
)
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
    chosen_channel,
    image_counts,
    prediction_config,
    training_config,
)
from .predict import Threshold
from .train import Steps

if TYPE_CHECKING:
    from ..data.folders import AnnotatedFolder


@reports_errors
def estimate(
    model: Model,
    images: Images,
    masks: Masks,
    sparse: Sparse = False,
    channel: Channel = None,
    threshold: Threshold = None,
    maps: Annotated[
        Path | None,
        typer.Option(help="Folder for error maps: 0 background, 1 right, 2 falsely predicted, 3 missed."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Tell whether a model over- or underestimates, by how much, and which threshold or penalty would balance it."""
    from ..evaluation.estimate import estimate as run
    from ..models.load import load_to_predict

    pairs = annotated_images(images, masks, sparse=sparse)
    channels = chosen_channel(images, channel)
    config = prediction_config(changes, threshold=threshold, channels=channels, device=device)
    with stops_on_interrupt() as stop:
        events = run(load_to_predict(model), pairs, config, maps=maps, seed=seed, should_stop=stop)
        found = watch(events, "Estimate", quiet=as_json)
    result = stop_if_none(found)
    _finish(result, as_json=as_json, model=model, maps=None if maps is None else str(maps))


@reports_errors
def can_learn(
    images: Images,
    masks: Masks,
    model: Model,
    sparse: Sparse = False,
    channel: Channel = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="Most seconds that the steps of the trial may take.")
    ] = TRIAL_SECONDS,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the trial.")] = TRIAL_STEPS,
    seed: Seed = 0,
    device: Device = "auto",
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Try whether a model can learn two of the images by heart, and test what is wrong if not."""
    from ..models.load import load_model
    from ..questions.can_learn import can_learn as run

    channels = chosen_channel(images, channel)
    config = training_config("default", changes, channels=channels, seed=seed, device=device)
    for change in changes or []:
        if change.partition("=")[0].partition(".")[0].strip() not in TRIAL_KEEPS:
            raise OptionError(
                f"'--set {change}' would change nothing: the trial settles this by itself. "
                f"It takes {', '.join(TRIAL_KEEPS)}; --steps and --seconds say how long it lasts."
            )
    pairs = annotated_images(images, masks, sparse=sparse)
    with stops_on_interrupt() as stop:
        events = run(load_model(model), pairs, config, seconds=seconds, steps=steps, should_stop=stop)
        found = watch(events, "Can it learn", quiet=as_json)
    result = stop_if_none(found)
    _finish(result, as_json=as_json, model=model)
    if result.verdict != "ready":
        raise typer.Exit(FAILED)


@reports_errors
def cross_validate(
    images: Images,
    masks: Masks,
    model: Model,
    sparse: Sparse = False,
    channel: Channel = None,
    folds: Annotated[str, typer.Option(help="loo: leave one image out at a time; or a number of folds.")] = "loo",
    preset: Preset = "fast",
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Score every image by a model finetuned without it: one training per fold, the mean and its interval."""
    from ..models.load import load_model
    from ..questions.cross_validate import cross_validate as run

    pairs = _to_cross_validate(images, masks, sparse=sparse)
    channels = chosen_channel(images, channel)
    config = training_config(preset, changes, channels=channels, steps=steps, seed=seed, device=device)
    with stops_on_interrupt() as stop:
        events = run(load_model(model), pairs, config, folds=_folds(folds), should_stop=stop)
        found = watch(events, "Cross-validation", quiet=as_json)
    result = stop_if_none(found)
    _finish(result, as_json=as_json, model=model)
    if result.stopped:
        raise typer.Exit(INTERRUPTED)


def _to_cross_validate(images: Path, masks: Path, *, sparse: bool) -> AnnotatedFolder:
    """Return the images in two folders, of a dataset annotated in napari those that are not kept for testing."""
    from ..data.folders import AnnotatedFolder
    from ..project.question_plan import subject_of
    from ..project.training_plan import pairs_of
    from ..project.uses import NOTHING
    from .roles import Roles

    pairs, roles = annotated_images(images, masks, sparse=sparse), Roles.of(images, masks)
    if roles.note:
        messages.print(roles.note, soft_wrap=True)
    if roles.project is None:
        return pairs
    subject = subject_of("cross_validate", roles.project, NOTHING)
    if subject.problem:
        raise DataError(subject.problem)
    messages.print(f"Asked about {subject.about}: those kept for testing and unused ones take no part.", soft_wrap=True)
    return AnnotatedFolder.of(pairs_of(subject.images))


def _folds(text: str) -> int | None:
    if text.lower() == "loo":
        return None
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"'--folds {text}' is neither loo nor a number. Write it as loo or 5.") from None


@reports_errors
def forecast(
    study: Annotated[Path, typer.Argument(help="Folder of a study made by `curve`.")],
    more: Annotated[
        str | None,
        typer.Option(help="How many more images; 5,10 by default, if the curve reaches that far."),
    ] = None,
    dataset: Annotated[int, typer.Option(min=1, max=2, help="2: the new dataset; 1: the old one.")] = 2,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Carry the learning curve of a study on: what more images are likely to give, as a range."""
    from ..learning_curve.forecast import forecast as look_ahead

    numbers = None if more is None else image_counts(more)
    _finish(look_ahead(study, more=numbers, dataset=dataset, seed=seed), as_json=as_json)


@reports_errors
def weigh(
    run: Annotated[Path, typer.Argument(help="Folder of a finetuning that has ended.")],
    share: Annotated[
        float | None,
        typer.Option(
            help="Only this mix, between 0 (the base) and 1 (the finetuned model). 1 itself can be written where the "
            "training kept its base: the finetuned weights. Needs --out."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New file for the model of --share, ending in .safetensors.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace that file if it exists.")] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps; by default that of the training.")] = None,
    as_json: Json = False,
) -> None:
    """Old or new: score the models between base and finetuned one on old and new images, or write one of them."""
    from ..questions.weigh import keep_mix
    from ..questions.weigh import weigh as run_weighing

    if (share is None) != (out is None):
        raise OptionError("--share and --out belong together: the model of that share is written into that file.")
    on = None if device is None else prediction_config(None, device=device).device
    with stops_on_interrupt() as stop:
        if share is None or out is None:
            events = run_weighing(run, device=on, should_stop=stop)
        else:
            events = keep_mix(run, share, out, overwrite=overwrite, device=on, should_stop=stop)
        found = watch(events, "Old or new", quiet=as_json)
    _finish(stop_if_none(found), as_json=as_json, run=str(run))


def _finish(result: Result, *, as_json: bool, **asked: str | None) -> None:
    """Print a result; as JSON, it begins with what was asked."""
    values = {**asked, **result.to_json(), "summary": result.summary}
    finish(values, as_json=as_json, show=lambda console: show_result(console, result))
    for offer in result.offers:
        if offer.kind == "penalty" and not as_json:
            messages.print(f"{offer.text}: --set false_positive_weight={offer.value:g}")
