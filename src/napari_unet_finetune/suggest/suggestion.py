"""Suggest which images of a folder to annotate: a varied start, then those the model is least sure of."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..config import DeviceName
from ..data.annotated_image import AnnotatedImage
from ..data.folders import read_unannotated
from ..errors import DataError
from ..events import ImageSeen, Notice, as_run
from ..io.images import ImageRef
from ..result import Result, ResultTable
from ..text import number, percent
from .medoids import Distances, choose_medoids, cover_extremes, distances_between, nearest_of, saturated

if TYPE_CHECKING:
    from ..models.model import Model
    from .traits import Traits

_EXTREME = 0.9
_CLEARLY = 0.5


def reason_for_start(numbers: Mapping[str, float], images: int, *, has_annotated: bool) -> str:
    """Return why an image is suggested before a model was finetuned; `images` is the number of all images."""
    others = round(numbers["cluster_size"]) - 1
    like = f"stands for {others} images like it" if others > 1 else f"stands for {others} image like it"
    parts = [like if others > 0 else "is like no other image"]
    if has_annotated and numbers["further_from_annotated_than"] >= _EXTREME and images > 2:
        parts.append("differs more from what is annotated than most")
    return _sentence(parts + _look(numbers))


def reason_for_next(numbers: Mapping[str, float]) -> str:
    """Return why an image is suggested after a model was finetuned."""
    parts = []
    if numbers["disagreement_share"] >= _CLEARLY:
        changes = f"by {percent(numbers['disagreement'])}, more than in {_of_ten(numbers['disagreement_share'])}"
        parts.append(f"its prediction changes with brightness, contrast and sharpness ({changes})")
    if numbers["undecided_share"] >= _CLEARLY:
        share = _of_ten(numbers["undecided_share"])
        parts.append(f"{percent(numbers['undecided'])} of what it finds is near the threshold, more than in {share}")
    if not parts:
        parts.append("the least certain of several images like it")
    return _sentence(parts + _look(numbers))


def _look(numbers: Mapping[str, float]) -> list[str]:
    names = {
        "brighter_than": "brighter",
        "darker_than": "darker",
        "more_contrast_than": "more contrast",
        "less_contrast_than": "less contrast",
    }
    return [f"{word} than {_of_ten(numbers[name])}" for name, word in names.items() if numbers[name] >= _EXTREME]


def _of_ten(share: float) -> str:
    """Return a share of the other images as people count: ``9 of 10 images``."""
    tenths = int(share * 10 + 1e-9)
    return "all other images" if share >= 1 else "few other images" if tenths == 0 else f"{tenths} of 10 images"


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


Mode = Literal["auto", "start", "next"]


@dataclass(frozen=True)
class Suggestion:
    """One image to annotate: `rank` counts from 1, `numbers` are what the reason is made of."""

    image: str
    rank: int
    reason: str
    numbers: dict[str, float]


@dataclass(frozen=True)
class Suggestions(Result):
    """Images to annotate, the most useful first."""

    suggestions: tuple[Suggestion, ...]

    @property
    def headline(self) -> str:
        """How many there are."""
        count = "this image" if len(self) == 1 else f"these {len(self)} images"
        return f"Annotate {count} next."

    @property
    def table(self) -> ResultTable:
        """Why each of them."""
        rows = tuple((one.image, number(one.numbers.get("brightness")), one.reason) for one in self)
        return ResultTable(("image", "brightness", "why"), rows, of_images=True)

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.suggestions)

    def __len__(self) -> int:
        return len(self.suggestions)

    def __getitem__(self, place: int) -> Suggestion:
        return self.suggestions[place]


@as_run
def suggest(
    model: Model,
    images: Sequence[ImageRef | AnnotatedImage],
    count: int = 5,
    *,
    annotated: Collection[str] = (),
    mode: Mode = "auto",
    device: DeviceName = "auto",
) -> Generator[ImageSeen | Notice, None, Suggestions]:
    """Yield after each image and return up to `count` images that are worth annotating, the most useful first.

    At the start the images are clustered by the features of the model's encoder and their intensities, and the one
    in the middle of each cluster is suggested; the darkest and the brightest tenth are covered. Later the half of
    the images whose predictions change most with brightness, contrast and sharpness, and have most area near the
    threshold, is clustered, and the most uncertain image of each cluster is suggested. An image that cannot be read is
    left out with a `Notice`.

    Parameters
    ----------
    images
        All images of the dataset, as files or in memory, annotated ones among them. Of each, up to 9 tiles are looked
        at, so that 300 images take a minute or two on a CPU with the light network.
    model
        The base model at the start, the finetuned one later.
    count
        How many images to suggest.
    annotated
        Names of the images that are annotated already; they are never suggested, and images like them neither.
    mode
        start or next; auto takes next if there are annotated images and the model was finetuned.
    device
        Where to compute.

    Raises
    ------
    DataError
        If no image is left to be annotated.
    DeviceError
        If the device is absent.
    """
    from .traits import Scout

    later = mode == "next" or (mode == "auto" and bool(annotated) and model.card.provenance.parent_sha256 is not None)
    scout = Scout(model, predictions=later, device=device)
    traits: list[Traits] = []
    for done, image in enumerate(images, start=1):
        try:
            traits.append(scout.look(_opened(image)))
        except DataError as error:
            yield Notice(f"{error} It is left out.")
        yield ImageSeen(image.name, done, len(images))
    known = [index for index, one in enumerate(traits) if one.name in annotated]
    if len(known) == len(traits):
        raise DataError("Every image is annotated already, or none can be read. Add images to choose from.")
    return Suggestions(tuple((_next if later else _start)(traits, known, count)))


def _opened(image: ImageRef | AnnotatedImage) -> AnnotatedImage:
    return image if isinstance(image, AnnotatedImage) else read_unannotated(image)


def _distances(traits: Sequence[Traits]) -> Distances:
    return distances_between(np.stack([one.features for one in traits]), np.stack([one.intensities for one in traits]))


def _start(traits: Sequence[Traits], known: list[int], count: int) -> list[Suggestion]:
    distances = _distances(traits)
    chosen = choose_medoids(saturated(distances), count, fixed=known)
    brightness = np.array([one.brightness for one in traits])
    chosen = cover_extremes(distances, chosen, brightness, fixed=known)
    nearest = nearest_of(distances, known + chosen)
    sizes = [int((nearest == len(known) + place).sum()) for place in range(len(chosen))]
    suggestions = []
    order = np.argsort([-size for size in sizes], kind="stable")
    for rank, place in enumerate(order.tolist(), start=1):
        index = chosen[place]
        numbers = {"cluster_size": float(sizes[place])} | _numbers(traits, distances, known, index)
        reason = reason_for_start(numbers, len(traits), has_annotated=bool(known))
        suggestions.append(Suggestion(traits[index].name, rank, reason, numbers))
    return suggestions


def _next(traits: Sequence[Traits], known: list[int], count: int) -> list[Suggestion]:
    distances = _distances(traits)
    unsure = _ranks([one.disagreement or 0 for one in traits]) + _ranks([one.undecided or 0 for one in traits])
    free = np.setdiff1d(np.arange(len(traits)), known)
    least = np.sort(unsure[free])[-max(2 * count, len(free) // 2) :][0]
    free = free[unsure[free] >= least]
    medoids = choose_medoids(saturated(distances[np.ix_(free, free)]), count)
    clusters = nearest_of(distances[np.ix_(free, free)], medoids)
    members = [free[clusters == place] for place in range(len(medoids))]
    best = [int(part[np.argmax(unsure[part])]) for part in members]
    suggestions = []
    for rank, index in enumerate(sorted(best, key=lambda index: -unsure[index]), start=1):
        numbers = _numbers(traits, distances, known, index) | {
            "disagreement": round(traits[index].disagreement or 0, 3),
            "disagreement_share": _share_below([one.disagreement or 0 for one in traits], index),
            "undecided": round(traits[index].undecided or 0, 3),
            "undecided_share": _share_below([one.undecided or 0 for one in traits], index),
        }
        suggestions.append(Suggestion(traits[index].name, rank, reason_for_next(numbers), numbers))
    return suggestions


def _numbers(traits: Sequence[Traits], distances: Distances, known: list[int], index: int) -> dict[str, float]:
    """Return what can be said of one image among all: shares of images that are darker, flatter, nearer."""
    numbers = {
        "brightness": round(traits[index].brightness, 4),
        "brighter_than": _share_below([one.brightness for one in traits], index),
        "darker_than": _share_below([-one.brightness for one in traits], index),
        "more_contrast_than": _share_below([one.contrast for one in traits], index),
        "less_contrast_than": _share_below([-one.contrast for one in traits], index),
    }
    if known:
        to_known = distances[:, known].min(axis=1)
        numbers["distance_to_annotated"] = round(float(to_known[index]), 3)
        numbers["further_from_annotated_than"] = _share_below(to_known.tolist(), index)
    return numbers


def _share_below(values: Sequence[float], index: int) -> float:
    """Return the share of the other images with a smaller value."""
    return round(float(np.mean(np.array(values) < values[index]) * len(values) / max(1, len(values) - 1)), 3)


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Return ranks from 0 to 1; equal values share one, so that the place in the folder decides nothing."""
    from scipy.stats import rankdata

    ranks: NDArray[np.float64] = (rankdata(values) - 1) / max(1, len(values) - 1)
    return ranks
