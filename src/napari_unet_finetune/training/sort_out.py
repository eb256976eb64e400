"""How a finished model tells old and new images of its training apart, as it does when it predicts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from ..config import ChannelRule, PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..data.appearance import AS_THEY_ARE, Appearance, are_shown_alike, quantiles_of_parts
from ..data.normalize import Sight, sights_of_normalized
from ..errors import FinetuneError, lacks_memory
from ..events import drain
from ..inference.predict import Predictor
from ..io.regions.region import Region
from ..models.model import Model
from .keep import dice_of_model
from .patches.store import PatchStore, PreparedImage
from .prepare import Setup
from .validation import dice_by_image

# New images that are tried, if no more are held out; more would only take time.
_NEW_TRIED = 12


@dataclass(frozen=True)
class SortedOut:
    """Which images a model takes for those of another dataset where only their intensities and objects tell.

    `tried` is the number of images, 0 where all datasets are shown to the network alike. `old_dice` is what old images
    that were mistaken then have, those with objects, and `new_dice` the same of held-out new ones, by their place among
    these. `failure` says why it could not be tried with all of them.
    """

    tried: int = 0
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    old_dice: Mapping[str, float] = field(default_factory=dict)
    new_dice: Mapping[int, float] = field(default_factory=dict)
    failure: str = ""

    def mean_dice(self, told: Sequence[float]) -> float | None:
        """Return the mean Dice of held-out images, which have these scores where the model is `told` what they are."""
        found = [self.new_dice.get(place, score) for place, score in enumerate(told)]
        return float(np.mean(found)) if found else None


def sort_out(model: Model, setup: Setup, *, scored: bool = False) -> SortedOut:
    """Return how a finished `model` tells the images of its training apart: some old ones and some new ones.

    New ones are read once more and looked at as by a prediction. Of old images what is kept of them is looked at, by
    what their intensities are as a whole; of regions their pixels alone. Those that are scored get a Dice where they
    are mistaken; if only these are wanted (`scored`), only they are looked at. Where this fails, the result says why,
    and holds what was found of the others: a finished model is not lost for it.
    """
    datasets = model.card.knows
    if setup.from_scratch or are_shown_alike(datasets):
        return SortedOut()
    new, old = _sort_out_new(model, setup, scored=scored), SortedOut()
    with _noted() as failures:
        old = _sort_out_old(model, setup, scored=scored)
    failure = new.failure or "".join(failures)
    return replace(old, tried=old.tried + new.tried, new=new.new, new_dice=new.new_dice, failure=failure)


def dice_by_itself(model: Model, setup: Setup) -> list[float]:
    """Return Dice of a `model` on each held-out image, shown as the model does it when it is left to itself.

    Raises
    ------
    DataError
        If an image is gone, or its channels do not fit the model.
    DeviceError
        If the memory does not hold what is looked at of one.
    """
    predictor, ways = Predictor(model, _config(setup)), model.card.knows or (AS_THEY_ARE,)
    is_open = not are_shown_alike(ways)
    images = (setup.new.read(index) for index in setup.new.held_out)
    seen = ((image, predictor.measure(image).appearance if is_open else ways[0]) for image in images)
    return [_dice_taken_for(appearance, image, model, setup) for image, appearance in seen]


def _config(setup: Setup) -> PredictConfig:
    return PredictConfig(device=setup.config.device, precision=setup.config.precision)


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Give a list that holds why what is done within fails, as far as that is no fault of the program."""
    failures = list[str]()
    try:
        yield failures
    except FinetuneError as error:
        failures.append(str(error))
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        failures.append("the memory does not hold what is looked at of an image.")


def _sort_out_new(model: Model, setup: Setup, *, scored: bool) -> SortedOut:
    shown, predictor = model.card.knows[-1], Predictor(model, _config(setup))
    held_out, trained = setup.new.held_out, setup.new.trained
    count = 0 if scored else max(0, min(len(trained), _NEW_TRIED - len(held_out)))
    some = np.unique(np.linspace(0, len(trained) - 1, count).round().astype(int))
    tried, mistaken, dice, failures = 0, list[str](), dict[int, float](), list[str]()
    for place, index in enumerate((*held_out, *(trained[one] for one in some))):
        with _noted() as failed:
            image = setup.new.read(index)
            taken_for = predictor.measure(image).appearance
            if not taken_for.is_shown_as(shown):
                if place < len(held_out):
                    dice[place] = _dice_taken_for(taken_for, image, model, setup)
                mistaken.append(image.name)
            tried += 1
        failures += failed
    return SortedOut(tried, new=tuple(mistaken), new_dice=dice, failure=next(iter(failures), ""))


def _dice_taken_for(appearance: Appearance, image: AnnotatedImage, model: Model, setup: Setup) -> float:
    """Return Dice of a held-out image that `model` takes for one of a dataset with this `appearance`."""
    serving, seen = model.serving(appearance), PatchStore(setup.device)
    seen.add_as_seen(image, serving.card.view.as_one_of(appearance))
    return dice_of_model(serving, seen, setup)[0]


def _sort_out_old(model: Model, setup: Setup, *, scored: bool) -> SortedOut:
    shown, predictor = model.card.knows[0], Predictor(_on_its_grid(model), _config(setup))
    # What a curve has bent is not brought back, and old images that are given may be of any dataset that is known.
    if shown.curves or (setup.old_records and len(model.card.knows) > 2):
        return SortedOut()
    names = {image.name for image in setup.old}
    tried = [parts for parts in setup.told_apart if not scored or parts[0].name in names]
    mistaken, dice = list[str](), dict[str, float]()
    for parts in tried:
        name, sight = parts[0].name, _sight_of(parts, shown, predictor)
        if not sight.appearance.is_shown_as(shown):
            mistaken.append(name)
            dice |= _dice_as(sight, [one for one in setup.old if one.name == name], shown, predictor)
    return SortedOut(len(tried), old=tuple(mistaken), old_dice=dice)


def _on_its_grid(model: Model) -> Model:
    """Return the model for images that are prepared: they have its size and channels."""
    older = None if model.older is None else _on_its_grid(model.older)
    return replace(model.with_card(rescale=1.0, channels=ChannelRule()), older=older)


def _sight_of(parts: Sequence[PreparedImage], appearance: Appearance, predictor: Predictor) -> Sight:
    """Return how an image would be shown, of which `parts` are kept as they are shown with this `appearance`."""
    seen = [_as_it_is(part, appearance) for part in parts]
    quantiles = parts[0].quantiles or quantiles_of_parts([one.image.reshape(-1, *one.shape) for one in seen])
    sights = sights_of_normalized(quantiles, predictor.model.card.view)
    return predictor.likeliest(seen, [part.edges for part in parts], sights)


def _dice_as(
    sight: Sight, parts: Sequence[PreparedImage], appearance: Appearance, predictor: Predictor
) -> dict[str, float]:
    """Return Dice of the image with these `parts`, shown as `sight` says; none where it has no objects."""
    if not any(len(part.foreground) for part in parts):
        return {}
    wholes = [Region.whole(part.shape) for part in parts]
    seen = [_as_it_is(part, appearance) for part in parts]
    found = [drain(predictor.stream_region(*one, sight)) for one in zip(seen, wholes, strict=True)]
    return dice_by_image(parts, [one for one in found if one is not None], predictor.threshold)


def _as_it_is(image: PreparedImage, appearance: Appearance) -> AnnotatedImage:
    """Return what was prepared as it would be read from a file: dark is dark again."""
    pixels = appearance.shown(image.pixels.float().cpu().numpy())
    return AnnotatedImage(image.name, pixels[0] if len(pixels) == 1 else pixels)
