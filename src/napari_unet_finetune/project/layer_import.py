"""Labels from napari layers: which of their frames become masks of which images."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..events import never
from ..text import count_of, size_in_px, verb_for
from .image import OWN, ProjectImage
from .project import Project, SavedMask

# As `frames.write_frames` calls frames, with the marks that a name gets on the way to a file.
_BACKGROUND, _OBJECT = 1, 2  # in strokes
_FRAME = re.compile(r"(?P<stack>.+)\[(?P<place>\d{3,}(?:,\d{3,})*)\](?:-[0-9a-f]{8})?(?P<copy> \(\d+\))?")


@dataclass(frozen=True)
class LabelFrames:
    """What is known of labels without reading them.

    Parameters
    ----------
    name
        What they are called.
    shape
        Number of frames along each axis that is no direction of the image; empty for a single plane.
    size
        (Y, X) of a frame.
    """

    name: str
    shape: tuple[int, ...]
    size: tuple[int, int]

    @property
    def count(self) -> int:
        """Number of frames."""
        return math.prod(self.shape)

    @property
    def text(self) -> str:
        """The labels in words."""
        return f"{self.name} · {count_of(self.count, 'frame')}"


@dataclass(frozen=True)
class ImageStack:
    """Images of a dataset over which labels can lie, frame by frame.

    Parameters
    ----------
    name, text
        What it is called, and what it is in words.
    images, places
        The images, and the number of the frame that each of them is, counted through all axes.
    shape
        Number of frames along each axis; frames that are no image of the dataset (any more) count too.
    """

    name: str
    text: str
    images: tuple[ProjectImage, ...]
    places: tuple[int, ...]
    shape: tuple[int, ...]

    def misfit(self, labels: LabelFrames) -> str:
        """Return why `labels` cannot lie over these images, in a sentence; empty if they can."""
        if not _same_frames(self.shape, labels.shape):
            advice = "Show the image it belongs to first, or choose" if labels.count == 1 else "Choose"
            return (
                f"{labels.name} has {_frames(labels.shape)}, but {self.name} has {_frames(self.shape)}. "
                f"{advice} a Labels layer with as many frames."
            )
        wrong = next((image for image in self.images if image.size not in (None, labels.size)), None)
        if wrong is None or wrong.size is None:
            return ""
        return (
            f"{wrong.name} is {size_in_px(wrong.size)}, but a frame of {labels.name} is {size_in_px(labels.size)}. "
            "Choose a Labels layer drawn on these images."
        )


@dataclass(frozen=True)
class FrameValues:
    """What the frames of labels hold.

    Parameters
    ----------
    is_empty
        Of each frame, whether it holds no label at all.
    may_be_strokes
        No frame holds anything but 0, 1 and 2, and at least one holds both 1 and 2.
    """

    is_empty: tuple[bool, ...]
    may_be_strokes: bool = False


@dataclass(frozen=True)
class FramePlan:
    """Which frames of labels become masks.

    Parameters
    ----------
    with_empty
        Frames without a label become masks too: those of images without any object.
    sparse
        The dataset is one of strokes, and labels that may be strokes are: in such frames, 0 is not annotated.
    """

    stack: ImageStack
    values: FrameValues
    with_empty: bool = False
    sparse: bool = False

    @property
    def are_strokes(self) -> bool:
        """Whether the frames are read as strokes, and not as whole masks."""
        return self.sparse and self.values.may_be_strokes

    @property
    def taken(self) -> tuple[tuple[int, ProjectImage], ...]:
        """The number of each frame that becomes a mask, with its image."""
        with_empty = self.with_empty and not self.are_strokes
        return tuple((place, image) for place, image in self._free if with_empty or not self.values.is_empty[place])

    @property
    def summary(self) -> str:
        """What will happen, and what is left out."""
        count, total = len(self.taken), len(self.stack.images)
        return " ".join(
            [f"{count} of {count_of(total, 'image')} {verb_for(count, 'get')} a mask.", *self._exceptions()]
        )

    @property
    def _free(self) -> list[tuple[int, ProjectImage]]:
        pairs = zip(self.stack.places, self.stack.images, strict=True)
        return [(place, image) for place, image in pairs if image.origin not in OWN]

    def _exceptions(self) -> Iterator[str]:
        if self.sparse:
            yield (
                "The labels are read as strokes: 1 is background, 2 is object."
                if self.are_strokes
                else "The labels are read as whole masks: what has no label is background."
            )
        if left_out := len(self._free) - len(self.taken):
            yield f"{count_of(left_out, 'frame')} without a label {verb_for(left_out, 'be')} left out."
        if kept := len(self.stack.images) - len(self._free):
            verb = verb_for(kept, "keep")
            yield f"{count_of(kept, 'image')} {verb} the mask painted or corrected here; remove it first to replace it."
        if replaced := sum(image.is_annotated for _, image in self.taken):
            yield f"{count_of(replaced, 'mask')} imported before {verb_for(replaced, 'be')} replaced and moved aside."


def find_stacks(images: Sequence[ProjectImage], current: str | None = None) -> tuple[ImageStack, ...]:
    """Return what labels can lie over: the image called `current`, every stack, and all images in their order."""
    shown = [
        ImageStack(image.name, f"{image.name}, which is shown now", (image,), (0,), ())
        for image in images
        if image.name == current
    ]
    grouped: dict[tuple[str, str], dict[tuple[int, ...], ProjectImage]] = {}
    for image in images:
        if (key := _place(image)) is not None:
            grouped.setdefault(key[0], {}).setdefault(key[1], image)
    stacks = [_stack(name, frames) for (name, _), frames in grouped.items() if len(frames) > 1]
    if any(stack.images == tuple(images) and math.prod(stack.shape) == len(images) for stack in stacks):
        return (*shown, *stacks)
    text = f"all {len(images)} images, in the order of their names"
    return (*shown, *stacks, ImageStack("the dataset", text, tuple(images), tuple(range(len(images))), (len(images),)))


def best_stack(stacks: Sequence[ImageStack], labels: LabelFrames) -> ImageStack:
    """Return the most likely of `stacks`: one that fits, and rather one whose name is part of that of `labels`."""
    return min(
        stacks, key=lambda stack: (bool(stack.misfit(labels)), bool(stack.shape) and stack.name not in labels.name)
    )


def look_through(
    frames: Iterable[NDArray[Any]], should_stop: Callable[[], bool] = never
) -> Generator[int, None, FrameValues | None]:
    """Yield how many of `frames` have been looked at, and return what they hold; None if it was stopped."""
    is_empty: list[bool] = []
    are_few, is_twofold = True, False
    for frame in frames:
        if should_stop():
            return None
        is_empty.append(not frame.any())
        are_few = are_few and bool(frame.min() >= 0 and frame.max() <= _OBJECT)
        is_twofold = is_twofold or (are_few and bool((frame == _BACKGROUND).any() and (frame == _OBJECT).any()))
        yield len(is_empty)
    return FrameValues(tuple(is_empty), are_few and is_twofold)


def take_frames(
    project: Project, plan: FramePlan, name: str, frames: Iterable[NDArray[Any]]
) -> Iterator[SavedMask | DataError]:
    """Write masks of `frames`, those of ``plan.taken`` in that order, and yield each, or why it was refused.

    The masks still have to be entered with `Project.keep`. `name` is what messages call the labels.
    """
    for (_, image), frame in zip(plan.taken, frames, strict=True):
        try:
            yield project.write_imported_labels(image.name, frame, called=name, strokes=plan.are_strokes)
        except DataError as error:
            yield error


def _place(image: ProjectImage) -> tuple[tuple[str, str], tuple[int, ...]] | None:
    """Return which stack an image belongs to and where it stands there; None if it stands alone."""
    if image.ref.frame is not None:
        return (image.ref.stem, str(image.ref.path)), (image.ref.frame,)
    found = _FRAME.fullmatch(image.ref.file_name)
    if found is None:
        return None
    return (found["stack"], found["copy"] or ""), tuple(int(number) for number in found["place"].split(","))


def _stack(name: str, frames: dict[tuple[int, ...], ProjectImage]) -> ImageStack:
    axes = max(len(place) for place in frames)
    frames = {place: image for place, image in frames.items() if len(place) == axes}
    shape = tuple(max(numbers) + 1 for numbers in zip(*frames, strict=True))
    places = tuple(int(np.ravel_multi_index(place, shape)) for place in frames)
    return ImageStack(name, f"{name} · {count_of(len(frames), 'image')}", tuple(frames.values()), places, shape)


def _same_frames(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Tell whether frames correspond; those of a file are counted through all axes, and one frame is no stack."""
    one, other = (tuple(length for length in shape if length > 1) for shape in (one, other))
    return one == other or (min(len(one), len(other)) == 1 and math.prod(one) == math.prod(other))


def _frames(shape: tuple[int, ...]) -> str:
    long = [str(length) for length in shape if length > 1]
    return f"{' × '.join(long) or '1'} {'frames' if long else 'frame'}"
