"""Which axes of an array are channels and which count frames."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNEL_AXES = "CS"
PLANE_AXES = "YX"
COLOR_SIZES = (2, 3, 4)
COLORS = ("red", "green", "blue")


def guess_axes(shape: tuple[int, ...]) -> str:
    """Return axis letters for an array that comes without: a last axis of 2, 3 or 4 is color, leading ones are frames.

    Raises
    ------
    ValueError
        If there are fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"it has the shape {shape}, an image needs at least two axes")
    plane = "YXS" if len(shape) > 2 and shape[-1] in COLOR_SIZES else "YX"
    return "Q" * (len(shape) - len(plane)) + plane


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
