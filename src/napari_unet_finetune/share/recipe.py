"""What a program has to do before and after the network, in the terms of BioImage.IO, and what these cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..config import Normalization, PredictConfig
from ..data.appearance import AS_THEY_ARE, Appearance, Curves, are_shown_alike
from ..data.view.intensities import VALUE_RANGE
from ..errors import ModelError
from ..io.colors import LUMINANCE
from ..models.card import ModelCard
from ..text import percent

WHITE = 255  # largest value of the images, where a step depends on it
_PLANE, _ALL = ("y", "x"), ("channel", "y", "x")


@dataclass(frozen=True)
class Step:
    """One step of processing: its name in BioImage.IO, and what it is given."""

    id: str
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How to use a network.

    Parameters
    ----------
    tile, halo
        Side of the tiles in pixels, and how much to cut off on each side of a result.
    channels
        Number of channels of a tile.
    before, after
        Steps from the pixels of a whole image to the network, and from its logits to the result.
    threshold
        Probability above which a pixel is an object.
    inverted
        Channels whose dark and bright are exchanged, which is among the steps.
    curves
        Of each channel the curve over its intensities (`Appearance.curves`), which the network in the file begins with.
    remarks
        What the steps do not say, in sentences.
    """

    tile: int
    halo: int
    channels: int
    before: tuple[Step, ...]
    after: tuple[Step, ...]
    threshold: float
    inverted: tuple[int, ...]
    curves: Curves
    remarks: tuple[str, ...]

    @property
    def appearance(self) -> Appearance:
        """How images are shown to the network."""
        return Appearance(inverted=self.inverted, curves=self.curves)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def recipe_of(card: ModelCard, *, dataset: int | None = None, mask: bool = False, mirrored: bool = False) -> Recipe:
    """Return how to use the network of the model with `card`.

    Parameters
    ----------
    dataset
        Which of the datasets that the model knows images are shown as, counted from 1; None takes the newest.
    mask
        The result is 1 where an object is and else 0, not a probability.
    mirrored
        Whether this program shows the model every second tile mirrored.

    Raises
    ------
    ModelError
        If the model does not know such a dataset.
    """
    appearance, channels = appearance_of(card, dataset), card.shape.in_channels
    own = card.serving(appearance)
    tile = own.patch_size
    return Recipe(
        tile=tile,
        halo=round(tile * PredictConfig().overlap / 2),
        channels=channels,
        before=tuple(_before(card.normalization, appearance, channels)),
        after=(Step("sigmoid", {}), *([Step("binarize", {"threshold": own.threshold})] if mask else [])),
        threshold=own.threshold,
        inverted=appearance.inverted,
        curves=appearance.curves,
        remarks=(*_choice(card, appearance), *_remarks(own, appearance, mirrored=mirrored)),
    )


def appearance_of(card: ModelCard, dataset: int | None) -> Appearance:
    """Return how images of a dataset are shown, as `recipe_of` takes it; raises what it raises."""
    if dataset is None:
        return card.knows[-1] if card.knows else AS_THEY_ARE
    if dataset > len(card.knows):
        there_are = f"the datasets 1 to {len(card.knows)}" if card.knows else "no datasets apart"
        raise ModelError(
            f"{card.name or 'model'}: there is no dataset {dataset}; the model knows {there_are}. "
            "Leave the dataset out to take the newest."
        )
    return card.knows[dataset - 1]


def _before(rule: Normalization, appearance: Appearance, channels: int) -> Iterator[Step]:
    """Yield the steps of `data.normalize`; dark and bright are exchanged last where that gives the same."""
    exchanged = bool(appearance.inverted)
    last = exchanged and _may_be_last(rule, appearance, channels)
    if exchanged and not last:
        yield _exchange(appearance, channels, WHITE)
    yield from _normalize(rule, exchanged=last)
    if last:
        yield _exchange(appearance, channels, 1 if rule.method == "percentile" else 0)
    if rule.method == "percentile":
        low, high = VALUE_RANGE
        yield Step("clip", {"min": low, "max": high})


def _may_be_last(rule: Normalization, appearance: Appearance, channels: int) -> bool:
    """Tell whether exchanging dark and bright after the normalization is the same as before, whatever white is."""
    if rule.method == "none":
        return False
    is_symmetric = rule.method == "zscore" or round(rule.low + rule.high, 6) == 100
    return len(appearance.inverted) == channels or (rule.per_channel and is_symmetric)


def _knows_white(card: ModelCard, appearance: Appearance) -> bool:
    """Tell whether a step depends on the largest value of the images' type."""
    rule, exchanged = card.normalization, bool(appearance.inverted)
    return rule.method == "none" or (exchanged and not _may_be_last(rule, appearance, card.shape.in_channels))


def _normalize(rule: Normalization, *, exchanged: bool) -> Iterator[Step]:
    """Yield the step that normalizes; percentiles of images whose dark and bright are `exchanged` are others."""
    axes = list(_PLANE if rule.per_channel else _ALL)
    if rule.method == "none":
        yield Step("scale_linear", {"gain": 1 / WHITE, "offset": 0.0})
    elif rule.method == "zscore":
        yield Step("zero_mean_unit_variance", {"axes": axes})
    else:
        low, high = rule.low, rule.high
        low, high = (round(100 - high, 6), round(100 - low, 6)) if exchanged else (low, high)
        yield Step("scale_range", {"axes": axes, "min_percentile": low, "max_percentile": high})


def _exchange(appearance: Appearance, channels: int, white: float) -> Step:
    """Return the step that exchanges dark and bright, `white` being the brightest value."""
    if len(appearance.inverted) == channels:
        return Step("scale_linear", {"gain": -1.0, "offset": float(white)})
    places = [place in appearance.inverted for place in range(channels)]
    gain, offset = [-1.0 if place else 1.0 for place in places], [float(white) if place else 0.0 for place in places]
    return Step("scale_linear", {"axis": "channel", "gain": gain, "offset": offset})


def _choice(card: ModelCard, appearance: Appearance) -> Iterator[str]:
    """Say which dataset the steps belong to, where that makes a difference."""
    ways = [one.in_words(card.shape.in_channels) for one in card.knows]
    if are_shown_alike(card.knows):
        return
    chosen = max(place for place, one in enumerate(card.knows) if one == appearance)
    listed = "; ".join(f"{place}: {words}" for place, words in enumerate(ways, start=1))
    newest = ", the newest" if chosen == len(ways) - 1 else ""
    yield (
        f"The model knows {len(ways)} datasets and sees the images of each in its own way ({listed}). This export is "
        f"for images like those of dataset {chosen + 1}{newest}: others need an export of their own."
    )


def _remarks(card: ModelCard, appearance: Appearance, *, mirrored: bool) -> Iterator[str]:
    tile = f"{card.patch_size} × {card.patch_size} px"
    yield f"The network takes tiles of {tile}: a whole image at once would give another result."
    yield from _channels(card)
    if card.rescale != 1:
        yield f"Images are resampled by {card.rescale:g} before all of this, and the result is brought back."
    if _knows_white(card, appearance):
        yield f"The steps are those for images of 8 bits: for others write the largest value instead of {WHITE}."
    if appearance.curves:
        yield "The network in the file begins with a curve over the intensities, which was fitted to these images."
    views = ", every second one mirrored" if mirrored else ""
    yield (
        f"napari-unet-finetune blends tiles that overlap by {percent(PredictConfig().overlap)}{views}; a program that "
        "cuts off a halo finds other labels for a few pixels along the outlines."
    )


def _channels(card: ModelCard) -> Iterator[str]:
    channels, rule = card.shape.in_channels, card.channels
    if channels > 1:
        yield f"The network sees {channels} channels: repeat those of a gray image."
    elif rule.method == "none":
        yield "The network sees gray images only."
    else:
        red, green, blue = LUMINANCE
        weights = f" ({red} red + {green} green + {blue} blue)" if rule.method == "luminance" else ""
        yield f"Of an image of several channels the network sees {rule.in_words}{weights}: reduce it to that first."
