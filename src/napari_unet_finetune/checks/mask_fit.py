"""Tests whether masks and images fit together: shifted, exchanged, inverted, empty, or images that show nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.annotated_image import AnnotatedImage
from ..data.channels import titles
from ..text import first_of, percent, verb_for

DoubtKind = Literal["shifted", "exchanged", "inverted", "empty", "tiny", "constant", "clipped", "channels"]

_EDGE_SIGMA_PX = 1.5
# Larger images are looked at in steps of so many pixels that no side exceeds this.
_LARGEST_SIDE = 512
# Masks are tried at all offsets up to this share of the smaller side.
_SHIFT_SHARE = 0.2
_LEAST_SHIFT_PX = 3.0
_AGREEING_PX = 3.0
# How much better, in standard deviations of the image's edges, another place or partner must fit.
_SHIFT_GAIN, _PARTNER_GAIN = 0.25, 0.25
_MAJORITY = 0.6
_TINY_SHARE = 0.001
_MOSTLY_OBJECT = 0.6
_CLIPPED_SHARE = 0.5
# Share of pairs of an object and a background pixel that intensity puts in the same order; 0.5 is chance.
_NOTHING_SEEN, _CLEARLY_SEEN = 0.6, 0.75
_SAMPLED = 4000


@dataclass(frozen=True)
class Doubt:
    """Something that is probably wrong with the data, and the measurement that says so."""

    kind: DoubtKind
    sentence: str


@dataclass(frozen=True, eq=False)
class Sample:
    """An image as the model sees it, reduced for these tests.

    `edges` (Y, X) has mean 0 and standard deviation 1; `step` is the reduction in pixels.
    """

    image: AnnotatedImage
    edges: NDArray[np.float32]
    mask: NDArray[np.bool_]
    step: int

    @classmethod
    def of(cls, image: AnnotatedImage, pixels: NDArray[np.float32]) -> Sample:
        """Return `image` with its edges, found in `pixels` (C, Y, X) as the network gets them."""
        from scipy import ndimage

        step = -(-max(image.shape) // _LARGEST_SIDE)
        reduced = pixels[:, ::step, ::step]
        edges = sum(ndimage.gaussian_gradient_magnitude(plane, _EDGE_SIGMA_PX) for plane in reduced)
        spread = float(edges.std())
        return cls(
            image, ((edges - edges.mean()) / (spread or 1.0)).astype(np.float32), image.target[::step, ::step], step
        )

    @property
    def outline(self) -> NDArray[np.bool_]:
        """Outlines of the objects, two pixels wide; the frame of the image is none."""
        from scipy import ndimage

        thick = ndimage.binary_dilation(self.mask) & ~ndimage.binary_erosion(self.mask, border_value=1)
        return np.asarray(thick, bool)


def find_doubts(samples: Sequence[Sample], pixels: Sequence[NDArray[np.float32]]) -> tuple[Doubt, ...]:
    """Return what is probably wrong with annotated images; `pixels` are their views by the network (C, Y, X)."""
    found = [*_empty(samples), *_inverted(samples), *_intensities(samples, pixels), *_channels(samples, pixels)]
    if all(sample.image.annotated is None for sample in samples):  # strokes do not follow edges
        found += _shifted(samples) or _exchanged(samples)  # a shifted mask may happen to fit another image
    return tuple(found)


def _empty(samples: Sequence[Sample]) -> list[Doubt]:
    shares = [sample.image.foreground for sample in samples]
    names = [sample.image.name for sample in samples]
    doubts = []
    empty = [name for name, share in zip(names, shares, strict=True) if share == 0]
    if len(empty) >= _MAJORITY * len(names):  # a few images without objects are examples like others
        doubts.append(Doubt("empty", f"{_count(empty, len(names))} without any object: {first_of(empty)}."))
    if tiny := [name for name, share in zip(names, shares, strict=True) if 0 < share < _TINY_SHARE]:
        sentence = f"{_count(tiny, len(names))} with objects on less than {percent(_TINY_SHARE)} of the area"
        doubts.append(Doubt("tiny", f"{sentence}: {first_of(tiny)}. Check whether the masks are complete."))
    return doubts


def _inverted(samples: Sequence[Sample]) -> list[Doubt]:
    shares = [sample.image.foreground for sample in samples]
    if np.mean([share > _MOSTLY_OBJECT for share in shares]) < _MAJORITY:
        return []
    mean = percent(float(np.mean(shares)))
    sentence = f"By the masks, {mean} of the area is object. If objects are rare, the masks are inverted."
    return [Doubt("inverted", sentence)]


def _intensities(samples: Sequence[Sample], pixels: Sequence[NDArray[np.float32]]) -> list[Doubt]:
    names = [sample.image.name for sample in samples]
    doubts = []
    if flat := [name for name, view in zip(names, pixels, strict=True) if view.min() == view.max()]:
        sentence = f"{_count(flat, len(names))} uniform after normalization"
        doubts.append(Doubt("constant", f"{sentence}: {first_of(flat)}. Check how these files were saved."))
    clipped = [
        name
        for name, view in zip(names, pixels, strict=True)
        if view.min() < view.max() and _at_the_ends(view) > _CLIPPED_SHARE
    ]
    if clipped:
        sentence = f"{_count(clipped, len(names))} with more than half of the pixels at the darkest or brightest value"
        doubts.append(Doubt("clipped", f"{sentence}: {first_of(clipped)}. Detail is lost there; check the export."))
    return doubts


def _at_the_ends(view: NDArray[np.float32]) -> float:
    return float(((view == view.min()) | (view == view.max())).mean())


def _channels(samples: Sequence[Sample], pixels: Sequence[NDArray[np.float32]]) -> list[Doubt]:
    """Tell whether one channel shows the objects by intensity while the network's view does not."""
    several = [
        (sample, view) for sample, view in zip(samples, pixels, strict=True)
        if sample.image.channels > len(view) and 0 < sample.image.foreground < 1
    ]  # fmt: skip
    if not several:
        return []
    seen = float(np.median([max(separation(plane, sample.image) for plane in view) for sample, view in several]))
    count = min(sample.image.channels for sample, _ in several)
    by_channel = [
        float(np.median([separation(sample.image.image[index], sample.image) for sample, _ in several]))
        for index in range(count)
    ]
    best = int(np.argmax(by_channel))
    if seen > _NOTHING_SEEN or by_channel[best] < _CLEARLY_SEEN:
        return []
    title = titles(several[0][0].image.channel_names or ("",) * count)[best]
    return [
        Doubt(
            "channels",
            f"{title[:1].upper()}{title[1:]} tells objects from background ({by_channel[best]:.2f}; 0.5 is chance and "
            f"1 perfect), but what the model gets does not ({seen:.2f}). Choose {title} as Channel in section Images "
            f"(in the terminal, --channel {best}).",
        )
    ]


def separation(plane: NDArray[Any], image: AnnotatedImage) -> float:
    """Return the chance that a random object pixel is on the same side of a random background pixel, at least 0.5."""
    inside, outside = (_sampled(plane[image.known & where]) for where in (image.target, ~image.target))
    if not len(inside) or not len(outside):
        return 0.5
    ranked = np.sort(outside)
    below, upto = np.searchsorted(ranked, inside, "left"), np.searchsorted(ranked, inside, "right")
    area = float((below + upto).mean() / (2 * len(ranked)))
    return max(area, 1 - area)


def _sampled(values: NDArray[Any]) -> NDArray[Any]:
    return values[np.linspace(0, len(values) - 1, min(_SAMPLED, len(values))).astype(int)] if len(values) else values


def _shifted(samples: Sequence[Sample]) -> list[Doubt]:
    """Tell whether all masks fit the edges of their images better at one other place."""
    found = [best_shift(sample) for sample in samples if sample.outline.any()]
    if not found:
        return []
    shifts = np.array([shift for shift, _ in found], float)
    gains = np.array([gain for _, gain in found])
    middle = np.median(shifts, axis=0)
    agree = (np.hypot(*(shifts - middle).T) <= _AGREEING_PX) & (gains > _SHIFT_GAIN)
    if agree.mean() < _MAJORITY or np.hypot(*middle) < _LEAST_SHIFT_PX:
        return []
    down, right = (round(float(value)) for value in middle)
    return [
        Doubt(
            "shifted",
            f"{int(agree.sum())} of {len(found)} masks fit the edges in their images clearly better when moved by "
            f"{down} px in Y and {right} px in X. Check whether images were cropped or registered after annotation.",
        )
    ]


def best_shift(sample: Sample) -> tuple[tuple[int, int], float]:
    """Return the offset (Y, X) in pixels at which the mask's outlines lie on the strongest edges, and what it gains.

    The gain is the mean strength of the edges below the outlines there, minus that at no offset, in their standard
    deviations.
    """
    from scipy import signal

    outline = sample.outline.astype(np.float32)
    reach = max(1, int(_SHIFT_SHARE * min(outline.shape)))
    padded = np.pad(sample.edges, reach)
    inside = np.pad(np.ones_like(outline), reach)
    flipped = outline[::-1, ::-1]
    strength = signal.fftconvolve(padded, flipped, mode="valid")
    covered = signal.fftconvolve(inside, flipped, mode="valid")
    # An offset that moves half of the outlines out of the image says little.
    mean = np.where(covered > 0.5 * outline.sum(), strength / np.maximum(covered, 1), -np.inf)
    row, column = np.unravel_index(int(np.argmax(mean)), mean.shape)
    gain = float(mean[row, column] - mean[reach, reach])
    return ((int(row) - reach) * sample.step, (int(column) - reach) * sample.step), gain


def _exchanged(samples: Sequence[Sample]) -> list[Doubt]:
    """Tell whether masks fit the edges of other images clearly better than those of their own."""
    with_objects = [sample for sample in samples if sample.outline.any()]
    wrong = []
    for sample in with_objects:
        others = [other for other in with_objects if other is not sample and other.edges.shape == sample.edges.shape]
        own = _fit(sample, sample)
        fits = [_fit(sample, other) for other in others]
        if fits and max(fits) > max(own, 0) + _PARTNER_GAIN:
            wrong.append((sample.image.name, others[int(np.argmax(fits))].image.name))
    if len(wrong) < 2:
        return []
    pairs = first_of([f"the mask of {own} on {other}" for own, other in wrong])
    return [
        Doubt(
            "exchanged",
            f"{len(wrong)} of {len(with_objects)} masks fit the edges of another image clearly better than those of "
            f"their own: {pairs}. Check the names, which pair images with masks.",
        )
    ]


def _fit(mask_of: Sample, edges_of: Sample) -> float:
    return float(edges_of.edges[mask_of.outline].mean())


def _count(names: Sequence[str], total: int) -> str:
    return f"{len(names)} of {total} images {verb_for(len(names), 'be')}"
