"""From an image to probabilities and labels, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr, expit, logit
from torch import Tensor, nn

from ..config import PrecisionName, PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..data.appearance import AS_THEY_ARE, Appearance, can_be_named, looks_reversed, named
from ..data.normalize import ModelView, Sight, possible_sights, quantiles_seen, see
from ..data.view.resampling import Resampling, rescaled_shape
from ..device import autocast, pick_device, pick_precision
from ..errors import DeviceError, lacks_memory
from ..events import LOOKS_REVERSED, UNSURE, TileEnd, drain, never, until
from ..io.regions.region import LazyImage, Region
from ..models.foreign.model import ForeignModel
from ..models.load import load_to_predict
from ..models.model import Model
from .postprocess import to_labels
from .tiles import blend_part, plan_tiles
from .views import knows_mirrored


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model sees in one image.

    Parameters
    ----------
    name
        Name of the image.
    probabilities
        ``(Y, X)`` float32, probability of an object.
    labels
        ``(Y, X)`` unsigned; 0 is background, 1 object, or one number per object where instances were asked for.
    threshold
        Probability above which a pixel became an object.
    scale, unit
        Size of a pixel along Y and X, as the image has it.
    appearance
        How the image was shown to the network.
    shown
        The same in words, where it is worth some: dark and bright are exchanged, or look as if they should be.
    told
        `shown`, or how the image was shown and that the model is not sure which of its datasets it is of.
    """

    name: str
    probabilities: NDArray[np.float32]
    labels: NDArray[np.unsignedinteger]
    threshold: float
    scale: tuple[float, float]
    unit: str
    appearance: Appearance = AS_THEY_ARE
    shown: str = ""
    told: str = ""


def predict(
    model: Model | ForeignModel,
    image: AnnotatedImage | NDArray[np.generic],
    config: PredictConfig | None = None,
    **settings: Any,
) -> Prediction:
    """Return the objects that `model` sees in `image`; for many images keep one `Predictor`.

    Parameters
    ----------
    image
        ``(Y, X)``, or ``(Y, X, C)`` with 2 to 4 channels, or ``(C, Y, X)``; or an image with its name and pixel size.
    config
        Settings; `settings` are its fields by name, such as ``device="cpu"``.

    Raises
    ------
    DataError
        If it is no image, or its channels do not fit the model.
    DeviceError
        If the device is absent or a single tile does not fit into its memory.
    """
    return Predictor(model, PredictConfig.given(config, settings)).predict(AnnotatedImage.of(image))


# Side (px on the network's grid) of the part that is looked at where intensities do not say how to show an image.
LOOKED_AT_PX = 1024
# Pixels of the largest image that is read once more to see whether its contrast is reversed.
LOOKED_THROUGH_PX = 2**24

Edges = tuple[bool, bool, bool, bool]  # top, bottom, left and right of a part: whether it stands for the image's border
ALL_EDGES: Edges = (True, True, True, True)


def _unusual(found: Sequence[NDArray[np.bool_]], edges: Sequence[Edges], usual: float) -> float:
    """Return how far the share of objects in parts (Y, X) of an image is from the usual one.

    Along the border of what is looked at only more of them count: there lies more of what surrounds them, which is the
    ground unless an image is seen the wrong way round. None is no sign of anything.
    """
    everywhere = np.concatenate([part.ravel() for part in found])
    sides = [(part[0], part[-1], part[:, 0], part[:, -1]) for part in found]
    border = [side for of_part, count in zip(sides, edges, strict=True) for side in compress(of_part, count)]
    known = [everywhere, np.concatenate(border)] if border else [everywhere]
    off, *off_there = (_log_odds(float(pixels.mean())) - _log_odds(usual) for pixels in known)
    return (off**2 + max([0.0, *off_there]) ** 2) / 2


def _on_scale(probabilities: NDArray[np.float32], own: float, threshold: float) -> NDArray[np.float32]:
    """Return probabilities such that those above their `own` threshold lie above `threshold`, which holds for all.

    All are moved by as much in log odds, and so is another threshold that is chosen for all.
    """
    if own == threshold:
        return probabilities
    with np.errstate(divide="ignore"):  # 0 and 1 stay what they are
        moved = expit(logit(probabilities) + (logit(threshold) - logit(own))).astype(np.float32)
    level = np.float32(threshold)
    above = np.maximum(moved, np.nextafter(level, np.float32(1)))
    seen: NDArray[np.float32] = np.where(probabilities > np.float32(own), above, np.minimum(moved, level))
    return seen


def _log_odds(share: float) -> float:
    return float(logit(np.clip(share, 0.001, 0.999)))


class Predictor:
    """A model made ready once to predict many images, as soon as it is used.

    Parameters
    ----------
    model
        The model. Tiles have the size of the patches it was trained on, because GroupNorm ties a result to the size
        of what it was computed from.
    config
        Settings; an empty threshold takes the model's own.
    """

    source: str | Path | None = None  # the file or name of the model, where `of` was told one

    def __init__(self, model: Model | ForeignModel, config: PredictConfig | None = None) -> None:
        self.config = config or PredictConfig()
        self.model = model.seeing(self.config.channels)
        self._own_threshold = model.card.threshold
        self.threshold = self.config.threshold or self._own_threshold
        self._mirrored = self.config.augment and knows_mirrored(model)
        self._sights: WeakKeyDictionary[LazyImage, Sight] = WeakKeyDictionary()  # of wholes

    @classmethod
    def of(cls, model: str | Path, config: PredictConfig | None = None) -> Predictor:
        """Return the model in a file, or of a name that ships, made ready; also one of another program.

        Raises
        ------
        ModelError
            If it cannot be loaded.
        """
        made = cls(load_to_predict(model), config)
        made.source = model
        return made

    @cached_property
    def device(self) -> torch.device:
        """Where the network is; raises `DeviceError` if that is absent."""
        return pick_device("cpu" if isinstance(self.model, ForeignModel) else self.config.device)

    @cached_property
    def precision(self) -> PrecisionName:
        """The number format of a pass."""
        return pick_precision(self.config.precision, self.device)

    @cached_property
    def _older(self) -> Predictor | None:
        older = self.model.older if isinstance(self.model, Model) else None
        return None if older is None else Predictor(older, self.config)

    def _serving(self, sight: Sight) -> Predictor:
        """Return what predicts an image seen so: this one, or that of the weights which an older dataset keeps."""
        return self if self._older is None or self.model.card.is_for(sight.appearance) else self._older

    @cached_property
    def _network(self) -> nn.Module:
        return self.model.network_to_predict(self.device)

    def logits(self, tiles: Tensor) -> Tensor:
        """Return logits (B, 1, Y, X) of `tiles` (B, C, Y, X), which are normalized and on the device."""
        with autocast(self.device, self.precision):
            logits: Tensor = self._network(tiles)
        return logits

    def predict(self, image: AnnotatedImage) -> Prediction:
        """Return the objects in `image`.

        Raises
        ------
        DataError
            If the image's channels do not fit the model.
        DeviceError
            If the device is absent or a single tile does not fit into its memory.
        """
        result = drain(self.stream(image))
        assert isinstance(result, Prediction)
        return result

    def stream(
        self, image: AnnotatedImage, *, should_stop: Callable[[], bool] = never
    ) -> Generator[TileEnd, None, Prediction | None]:
        """Yield progress after every batch of tiles and return the objects in `image`.

        Returns None if `should_stop` says yes before the last batch.

        Raises
        ------
        DataError
            If the image's channels do not fit the model.
        DeviceError
            If the device is absent, or the image or a single tile does not fit into its memory.
        """
        whole = Region.whole(image.shape)
        try:
            sight = self.measure(image)
        except MemoryError as error:
            raise self._too_large(image, whole) from error
        probabilities = yield from self.stream_region(image, whole, sight, should_stop=should_stop)
        if probabilities is None:
            return None
        labels = to_labels(probabilities, self.threshold, self.config)
        words = self.how_shown(sight), self.how_told(sight)
        own = self.threshold, image.scale, image.unit, sight.appearance
        return Prediction(image.name, probabilities, labels, *own, *words)

    def measure(self, image: LazyImage) -> Sight:
        """Return how `image` is shown to the network, for `stream_region`; all of it is read, in bands.

        Where its intensities do not say which of the datasets it is like that are shown otherwise, that way is taken in
        which the network is surer of the middle of the image and sees about as many objects as it was taught, there and
        along the border; it is unsure where another one is about as plausible. A region of an image is shown as the
        whole is, which is looked at once.

        Raises
        ------
        DataError
            If the image's channels do not fit the model.
        """
        whole = image.part_of if isinstance(image, AnnotatedImage) else None
        if whole is None:
            return self._likeliest(image, image)
        if whole not in self._sights:
            self._sights[whole] = self._likeliest(image, whole)
        return self._sights[whole]

    def _likeliest(self, image: LazyImage, whole: LazyImage) -> Sight:
        sight = self.likeliest([whole], [ALL_EDGES], list(possible_sights(image, self._view)))
        return replace(sight, looks_reversed=self._looks_reversed(whole, sight))

    def _looks_reversed(self, image: LazyImage, sight: Sight) -> bool:
        """Tell whether an image of common size, left to the model, would be more like its own if it were exchanged."""
        known = self.model.card.quantiles if isinstance(self.model, Model) else ()
        if not known or self.config.appearance != "auto" or image.shape[0] * image.shape[1] > LOOKED_THROUGH_PX:
            return False
        quantiles = quantiles_seen(image, self._view, sight.intensities)
        return looks_reversed(known, quantiles, self._view.normalization.method)

    def how_shown(self, sight: Sight) -> str:
        """Return how an image was shown to the network, in words, or that it looks reversed; else nothing."""
        if not sight.appearance.changes:
            return LOOKS_REVERSED if sight.looks_reversed else ""
        why = ", as other images of its training" if self.config.appearance == "auto" else ""
        return f"{sight.appearance.in_words(self.channels)}{why}"

    def how_told(self, sight: Sight) -> str:
        """Return what `how_shown` does, or how an image was shown and that the model is not sure of its dataset."""
        if not sight.is_unsure:
            return self.how_shown(sight)
        can_be_chosen = sight.other is None or can_be_named(sight.other, self.channels)
        doubt = UNSURE if can_be_chosen else f"{UNSURE}, and no setting shows it otherwise"
        return f"{sight.appearance.done_in_words(self.channels)}, {doubt}"

    def likeliest(self, parts: Sequence[LazyImage], edges: Sequence[Edges], sights: Sequence[Sight]) -> Sight:
        """Return in which of these ways an image is seen, as `measure` does with a whole one.

        `parts` of it are looked at, and as its border those of their `edges` that stand for it.

        Raises
        ------
        DataError
            If the channels do not fit the model.
        """
        if len(sights) == 1:
            return sights[0]
        terms = [self._implausibility(parts, edges, sight) for sight in sights]
        total = [unlike + unusual for unlike, unusual in terms]
        best, second = sorted(range(len(sights)), key=total.__getitem__)[:2]
        lead = total[second] - total[best]
        if any(sights[place].appearance.object_share is None for place in (best, second)):
            lead = min(lead, terms[second][0] - terms[best][0])  # of one it is not known what is usual
        return replace(sights[best], lead=lead, other=sights[second].appearance)

    def _implausibility(self, parts: Sequence[LazyImage], edges: Sequence[Edges], sight: Sight) -> tuple[float, float]:
        """Return how unlike a dataset's intensities, with a lack of sureness, and objects of an image are, seen so.

        The weights are those of docs/experiments.md, "Dark and bright exchanged".
        """
        found = [self._glimpse(part, sight) for part in parts]
        everywhere = np.concatenate([part.ravel() for part in found])
        unsure = float(np.mean(entr(everywhere) + entr(1 - everywhere)))
        usual = sight.appearance.object_share
        unusual = 0.0 if usual is None else _unusual([part > self._own_threshold for part in found], edges, usual)
        return 5 * sight.distance + 20 * unsure, unusual

    def _glimpse(self, image: LazyImage, sight: Sight) -> NDArray[np.float32]:
        """Return the probabilities (Y, X) of the middle of an image, with the same weights whatever it is like.

        Weights that older datasets keep are surer of all images, or less sure of all, which tells nothing.
        """
        side = round(LOOKED_AT_PX / self._view.rescale)
        found = drain(self._seen(image, Region.middle(image.shape, side), sight))
        return found.clip(0, 1)  # by rounding, blended ones may lie beyond

    def stream_region(
        self, image: LazyImage, region: Region, sight: Sight, *, should_stop: Callable[[], bool] = never
    ) -> Generator[TileEnd, None, NDArray[np.float32] | None]:
        """Yield progress after every batch of tiles and return the probabilities (Y, X) of a region, float32.

        They are those that the whole image has there, to the last bit on a CPU: tiles are those of the whole image, and
        `sight` was measured on it. Only the region and what its tiles see around it is read. Returns None if
        `should_stop` says yes before the last batch.

        Raises
        ------
        DataError
            If the image's channels do not fit the model, or it cannot be read.
        DeviceError
            If the device is absent, or the region or a single tile does not fit into its memory.
        """
        predictor = self._serving(sight)
        found = yield from until(should_stop, predictor._seen(image, region, sight))
        return found if found is None else _on_scale(found, predictor._own_threshold, self._own_threshold)

    def _seen(self, image: LazyImage, region: Region, sight: Sight) -> Generator[TileEnd, None, NDArray[np.float32]]:
        """Return the probabilities (Y, X) of a region with the model's own weights, whatever the image is like."""
        try:
            return (yield from self._blended(image, region, sight))
        except (RuntimeError, MemoryError) as error:  # the region and its probabilities lie on the device, too
            if not lacks_memory(error):
                raise
            raise self._too_large(image, region) from error

    def _blended(self, image: LazyImage, region: Region, sight: Sight) -> Generator[TileEnd, None, NDArray[np.float32]]:
        """Blend the tiles of a region of the image on the network's grid, which may be finer or coarser."""
        view, card = self._view, self.model.card
        shape = rescaled_shape(image.shape, view.rescale)
        there, back = Resampling.of(image.shape, shape), Resampling.of(shape, image.shape)
        plan = plan_tiles(shape, card.patch_size, self.config.overlap, mirrored=self._mirrored)
        part = plan.covering(back.needs(region))
        source = there.needs(part.window)
        pixels = torch.from_numpy(there.apply(see(image, view, sight, source), source, part.window)).to(self.device)
        blended = yield from blend_part(self.logits, pixels, part, batch_size=self.config.batch_size)
        return back.apply(blended.cpu().numpy(), part.region, region)

    def _too_large(self, image: LazyImage, region: Region) -> DeviceError:
        height, width = region.shape
        return DeviceError(
            f"{image.name}: the memory of '{self.device.type}' does not hold an image of {width} x {height} pixels. "
            "Choose the device 'cpu', or cut the image."
        )

    @property
    def channels(self) -> int:
        """Number of channels that the network sees."""
        return self.model.card.shape.in_channels

    @property
    def _view(self) -> ModelView:
        view = self.model.card.view
        if self.config.rescale is not None:
            view = view.model_copy(update={"rescale": self.config.rescale})
        chosen = named(self.config.appearance, view.in_channels)
        return view if chosen is None else view.as_one_of(chosen)
