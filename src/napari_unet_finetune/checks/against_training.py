"""Compare images with the data a model was trained on, and say what that means and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..config import NormalizationName
from ..data.appearance import ALIKE_IF_EXCHANGED, DIFFERS, exchanged
from ..data.statistics import (
    TOLERATED_HIGH,
    TOLERATED_LOW,
    DataStatistics,
    Intensities,
    ModelFacts,
    differ_in_shape,
    have_opposite_contrast,
    rescale_setting,
    scale_factor,
)
from ..text import percent

_DIGITS = 2  # of that distance: as it is shown, it is judged
_RAW_RATIO = 1.5
_HALF = 0.5
_COLORS = ("0 (red)", "1 (green)", "2 (blue)")


@dataclass(frozen=True)
class DataComparison:
    """How images differ from the data of a model; numbers are ``None`` where they cannot be known.

    Parameters
    ----------
    model
        Name of the model.
    base, new
        Statistics of the model's data and of the images.
    overall_shift, object_shift, background_shift
        Mean distance between the normalized intensities of both, in units of the range that the base's fill: of all
        pixels, of objects and of background; of several channels the one in which they differ most counts.
    inverted
        Objects are darker than the background here and brighter there, or the other way round.
    scale_factor
        By which factor to resample images as the model sees them, because their objects are wider or narrower than
        those of the base; 1 if it copes with them.
    setting
        What Rescale is to be set to for that, instead of the base's own factor; None if nothing is to be done.
    verdict
        What it means and what to do, in sentences.
    """

    model: str
    base: DataStatistics | None = None
    new: DataStatistics | None = None
    overall_shift: float | None = None
    object_shift: float | None = None
    background_shift: float | None = None
    inverted: bool = False
    scale_factor: float | None = None
    setting: float | None = None
    verdict: tuple[str, ...] = ()

    @property
    def is_different(self) -> bool:
        """Whether intensities, sizes or shapes are other than the model's."""
        is_shifted = any(shift >= DIFFERS for _, shift in self._judged)
        of_another_shape = self.base and self.new and differ_in_shape(self.base, self.new)
        return self.inverted or is_shifted or self.scale_factor not in (None, 1) or bool(of_another_shape)

    @property
    def shifts(self) -> tuple[tuple[str, str, str], ...]:
        """The shifts that the verdict follows from, as rows of a table."""
        return tuple((f"change of {what}*", f"{shift:.2f}", "–") for what, shift in self._judged)

    @property
    def _judged(self) -> tuple[tuple[str, float], ...]:
        """What the intensities are judged by: objects and background or, as long as no object is known, whole images.

        Whole images also change with the share of objects, about which nothing needs to be done.
        """
        whole = self.object_shift is None
        parts = (("whole images", self.overall_shift),) if whole else (
            ("objects", self.object_shift), ("background", self.background_shift),
        )  # fmt: skip
        return tuple((what, shift) for what, shift in parts if shift is not None)


def compare(new: DataStatistics | None, model: ModelFacts) -> DataComparison:
    """Return how the images with statistics `new` differ from the data of `model`."""
    base = model.statistics
    if base is None:
        sentence = (
            f"{model.name} holds no statistics of its training images: it was made by another program or an older "
            "version. How far these images are from them cannot be said."
        )
        return DataComparison(model.name, verdict=(sentence,))
    if new is None:
        return DataComparison(model.name, base=base, verdict=("There are no images to compare.",))
    parts = {part: _difference(base, new, part) for part in ("everywhere", "objects", "background")}
    overall, objects, background = (None if found is None else found.shift for found in parts.values())
    inverted, factor = have_opposite_contrast(model, new), scale_factor(base, new)
    setting = rescale_setting(base, new, model.view)
    setting = None if setting == model.view.rescale else setting
    intensity = _opposite(model.name, base) if inverted else _on_intensity(model, base, new, parts)
    verdict = (intensity, *_on_size(model, base, new, setting))
    return DataComparison(model.name, base, new, overall, objects, background, inverted, factor, setting, verdict)


@dataclass(frozen=True)
class _Difference:
    """How far two distributions lie apart, which they are, and in which channel; ``where`` is empty for their mean."""

    shift: float
    old: tuple[float, ...]
    now: tuple[float, ...]
    where: str = ""


def _difference(base: DataStatistics, new: DataStatistics, part: str) -> _Difference | None:
    """Return the larger Wasserstein distance (mean distance of quantiles) of all channels, or of their mean."""
    pairs = [("", base.normalized, new.normalized)]
    if len(base.channels) == len(new.channels):
        count = len(base.channels)
        names = _COLORS if count == len(_COLORS) else tuple(map(str, range(count)))
        places = (f" in channel {name}" for name in names)
        pairs += zip(places, base.channels, new.channels, strict=True)
    known = [(where, getattr(old, part), getattr(now, part)) for where, old, now in pairs]
    found = [
        _Difference(round(float(np.abs(np.subtract(now, old)).mean()) / base.span, _DIGITS), old, now, where)
        for where, old, now in known
        if old and now
    ]
    return max(found, key=lambda one: one.shift, default=None)


def _opposite(name: str, base: DataStatistics) -> str:
    here, there = ("darker", "brighter") if (base.objects_brighter or 0) > _HALF else ("brighter", "darker")
    return (
        f"Objects are {here} than their surroundings, but {there} in the data of {name}. A model that has never seen "
        "this may confuse the two: look at a prediction. Finetuning tries images with dark and bright exchanged, too."
    )


def _on_intensity(
    model: ModelFacts, base: DataStatistics, new: DataStatistics, parts: Mapping[str, _Difference | None]
) -> str:
    overall = parts["everywhere"]
    if parts["objects"] is None:
        if overall is None or overall.shift < DIFFERS:
            return _alike(model.name, base, new, "the images are")
        turned = _shift_if_exchanged(base, new, model.view.normalization.method)
        if not overall.where and turned < ALIKE_IF_EXCHANGED * overall.shift:
            return (
                f"The intensities of whole images {_how(overall, 'are')} than in the data of {model.name}, but with "
                f"dark and bright exchanged they would be closer (a distance of {turned:.2f} instead of "
                f"{overall.shift:.2f}): the contrast may be reversed. Predict an image both ways, as it is and with "
                "dark and bright exchanged (in the terminal, --set appearance=inverted), and look. Once some images "
                "are annotated, finetuning chooses the better way by itself."
            )
        return (
            f"The intensities of whole images {_how(overall, 'are')} than in the data of {model.name}. That may come "
            "from other intensities or just from more or larger objects: annotate a few images and check again with "
            "their masks."
        )
    subjects = (("objects", "are", parts["objects"]), ("the background", "is", parts["background"]))
    differs = [f"{what} {_how(one, verb)}" for what, verb, one in subjects if one is not None and one.shift >= DIFFERS]
    if differs:
        is_normalized = model.view.normalization.method != "none"
        how = "After normalization, " if is_normalized else "This model does not normalize intensities, and "
        return (
            f"{how}{' and '.join(differs)} than in the data of {model.name}. Finetune on images that cover the dark "
            "and the bright ones."
        )
    return _alike(model.name, base, new, "objects and background are")


def _shift_if_exchanged(base: DataStatistics, new: DataStatistics, method: NormalizationName) -> float:
    """Return how far whole images would lie from those of the base if dark and bright were exchanged."""
    turned = exchanged(new.normalized.everywhere, method)
    return round(float(np.abs(np.subtract(base.normalized.everywhere, turned)).mean()) / base.span, _DIGITS)


def _how(found: _Difference, verb: str) -> str:
    """Say how a distribution differs: by its middle or, where that stays, by its width."""
    old, now = found.old, found.now
    move = _median(now) - _median(old)
    if abs(move) >= DIFFERS / 2:
        how = f"{'brighter' if move > 0 else 'darker'}{found.where} ({_median(now):.2f} against {_median(old):.2f})"
        return f"{verb} {how}"
    wider = float(np.std(now)) > float(np.std(old))
    spread = f"(std {np.std(now):.2f} against {np.std(old):.2f})"
    return f"{verb} {'more' if wider else 'less'} spread out{found.where} {spread}"


def _alike(name: str, base: DataStatistics, new: DataStatistics, what: str) -> str:
    if raw := _raw_difference(base.raw, new.raw):
        return (
            f"{raw}, but each image is normalized, and after that {what} like those of {name}: "
            "nothing needs to be done about intensities."
        )
    if len(base.channels) != len(new.channels):
        return f"In brightness {what} like those of {name}; its file says nothing about their colors."
    return f"Intensities are like those of {name}: nothing needs to be done about them."


def _raw_difference(old: Intensities, now: Intensities) -> str:
    """Return how the raw intensities differ, as the beginning of a sentence; empty if they do not."""
    if not old.everywhere or not now.everywhere:
        return ""
    old_bright, now_bright = old.everywhere[-1], now.everywhere[-1]
    if 1 / _RAW_RATIO <= now_bright / max(old_bright, 1e-6) <= _RAW_RATIO:
        return ""
    return (
        f"Raw images are {'brighter' if now_bright > old_bright else 'darker'} (they reach {percent(now_bright)} of "
        f"the data type's range against {percent(old_bright)})"
    )


def _on_size(model: ModelFacts, base: DataStatistics, new: DataStatistics, setting: float | None) -> Iterator[str]:
    if differ_in_shape(base, new):
        shapes = f"{new.object_elongation or 1:.0f} times as long as wide against {base.object_elongation or 1:.0f}"
        yield (
            f"Objects are of another shape than in the data of {model.name} ({shapes}). It knows little of them; a "
            "model trained from scratch may do as well."
        )
    if setting is None or not base.object_width_px or not new.object_width_px:
        return
    times = new.object_width_px / base.object_width_px
    yield (
        f"Objects are about {times:.2g} times as wide as in the data of {model.name} ({new.object_width_px:.0f} px "
        f"against {base.object_width_px:.0f} px), and it copes with {TOLERATED_LOW:g} to {TOLERATED_HIGH:g} times. "
        f"Images resampled by {setting:g} come within that: set Rescale to {setting:g}."
    )


def _median(quantiles: tuple[float, ...]) -> float:
    return quantiles[len(quantiles) // 2]
