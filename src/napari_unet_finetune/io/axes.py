"""Which axes of an array are channels and which count frames."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNEL_AXES = "CS"
PLANE_AXES = "YX"
COLOR_SIZES = (1, 2, 3, 4)
_MOST_CHANNELS, _LEAST_SIDE = 12, 32  # what is so narrow beside so long sides is no image
COLORS = ("red", "green", "blue")


def guess_axes(shape: tuple[int, ...]) -> str:
    """Return axis letters for an array that comes without: a short last axis holds channels, leading ones are frames.

    Short is up to 4, and up to 12 where the two axes before it are 32 or longer.

    Raises
    ------
    ValueError
        If there are fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"it has the shape {shape}, an image needs at least two axes")
    if len(shape) > 3 and shape[-2:] == (1, 1):
        return f"{guess_axes(shape[:-1])}S"
    has_channels = shape[-1] in COLOR_SIZES or (shape[-1] <= _MOST_CHANNELS and min(shape[-3:-1]) >= _LEAST_SIDE)
    plane = "YXS" if len(shape) > 2 and has_channels else "YX"
    return "Q" * (len(shape) - len(plane)) + plane


def frames_or_channels(shape: tuple[int, ...], axes: str) -> str:
    """Return what to tell of an array without axes whose few frames may be channels; empty if there is no doubt."""
    if axes != "QYX" or not 1 < shape[0] <= max(COLOR_SIZES):
        return ""
    return (
        f"has the shape {shape} and is read as {shape[0]} images. If they are channels of one image, make them the "
        "last axis, or save it as TIFF with named axes"
    )


def frame_axes(axes: str) -> list[int]:
    """Return the positions of the axes that count frames: all but channels, Y and X."""
    return [i for i, letter in enumerate(axes) if letter not in CHANNEL_AXES + PLANE_AXES]


def channel_axes(axes: str) -> list[int]:
    """Return the positions of the channel axes."""
    return [i for i, letter in enumerate(axes) if letter in CHANNEL_AXES]


def samples_named(count: int) -> tuple[str, ...]:
    """Return what the `count` samples of a pixel are called: colors where there are three, nothing where it is gray."""
    return COLORS if count == len(COLORS) else ("",) * count if count > 1 else ()


def count_frames(shape: tuple[int, ...], axes: str) -> int:
    """Return how many two-dimensional images an array of `shape` with `axes` holds."""
    return prod(shape[i] for i in frame_axes(axes))


def take_frame(array: NDArray[Any], axes: str, index: int) -> NDArray[Any]:
    """Return frame `index` as a ``(Y, X)`` or ``(C, Y, X)`` copy; several channel axes become one.

    Raises
    ------
    ValueError
        If `axes` lack Y or X.
    """
    if any(axes.count(letter) != 1 for letter in PLANE_AXES):
        raise ValueError(f"its axes {axes} are not those of an image")
    frames, channels = frame_axes(axes), channel_axes(axes)
    ordered = array.transpose(*frames, *channels, axes.index("Y"), axes.index("X"))
    position = np.unravel_index(index, ordered.shape[: len(frames)]) if frames else ()
    frame = ordered[position]
    return np.array(frame.reshape(-1, *frame.shape[-2:]) if channels else frame)
