"""Colors, transparency and orientation as files store them: what they show, and what of it is a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# What an image needs (orientation of TIFF and EXIF): rows become columns, then up and down, then left and right change.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_SAME_COLOR = 1 / 32  # of the full range: what JPEG and brushes with soft edges change
_WHITE, _DEPTHS, _RAMP_COLORS = 255, (16, 256), 64
_RAMP_STEP = 24  # of 255, between neighbors; in palettes of photos they jump
# Rec. 601 luma, the weights of scikit-image's older rgb2gray and of most cameras.
LUMINANCE = (0.299, 0.587, 0.114)


def is_turned(orientation: int) -> bool:
    """Tell whether rows become columns."""
    return _TURNS.get(orientation, (False,))[0]


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an image (..., Y, X) the way viewers show it."""
    if orientation not in _TURNS:
        return array
    swaps, upside_down, mirrored = _TURNS[orientation]
    array = np.swapaxes(array, -1, -2) if swaps else array
    return np.asarray(array[..., :: -1 if upside_down else 1, :: -1 if mirrored else 1])


def from_palette(
    numbers: NDArray[Any], palette: NDArray[Any], *, as_labels: bool, is_lookup: bool = False
) -> NDArray[Any]:
    """Return the numbers (Y, X) that point into a `palette` (N, 3) of 8 bits, or the colors (3, Y, X) they stand for.

    A palette that rises from dark to bright only says how to display intensities, and so does one in small steps of
    programs that keep intensities beside a lookup table (`is_lookup`).
    """
    used = np.unique(numbers)
    missing = max(0, int(used[-1]) + 1 - len(palette))
    palette = np.pad(palette, ((0, missing), (0, 0)))  # colors that it does not name are black
    if as_labels:
        return _labels_from_palette(numbers, palette, used)
    if _is_ramp(palette, int(used[-1]), is_lookup=is_lookup):
        return numbers
    return np.moveaxis(palette[numbers], -1, 0)


def _labels_from_palette(numbers: NDArray[Any], palette: NDArray[Any], used: NDArray[Any]) -> NDArray[Any]:
    """Return what a mask with a palette says.

    ImageJ's inverting lookup table changes nothing. Gray values with black among them are a mask in gray; a palette of
    more than two used colors, or of two that look alike, gives each object a color.
    """
    colors = palette[used]
    are_distinct = len(np.unique(colors, axis=0)) == len(used)
    if _is_inverting(palette):
        return numbers
    if are_distinct and (colors == colors[:, :1]).all() and (colors == 0).any():
        return np.asarray(palette[numbers, 0])
    return numbers if len(used) > 2 or not are_distinct else np.moveaxis(palette[numbers], -1, 0)


def _is_inverting(palette: NDArray[Any]) -> bool:
    inverse = np.rint(np.linspace(_WHITE, 0, len(palette)))[:, None]
    return len(palette) in _DEPTHS and bool((palette == inverse).all())


def _is_ramp(palette: NDArray[Any], last: int, *, is_lookup: bool) -> bool:
    part = palette if palette[last + 1 :].any() else palette[: last + 1]
    if len(part) < _RAMP_COLORS or np.abs(np.diff(part.astype(int), axis=0)).max() > _RAMP_STEP:
        return False
    rises = np.diff(part @ LUMINANCE)
    return is_lookup or bool((rises >= 0).all() and rises.any())


def without_alpha(colors: NDArray[Any], alpha: NDArray[Any], *, as_labels: bool) -> NDArray[Any]:
    """Return `colors` (C, Y, X); for labels, `alpha` (Y, X) instead if all that is opaque has one color."""
    if not as_labels or (alpha == alpha.flat[0]).all():
        return colors
    full = float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "ui" else float(alpha.max())
    opaque = colors[:, alpha >= full / 2].astype(float)
    is_one = opaque.size == 0 or np.ptp(opaque, axis=1).max() <= _SAME_COLOR * full
    return alpha[None] if is_one else colors


def from_cmyk(inks: NDArray[Any]) -> NDArray[Any]:
    """Return red, green and blue (3, Y, X) of cyan, magenta, yellow and black (4, Y, X)."""
    full = np.iinfo(inks.dtype).max if inks.dtype.kind in "ui" else 1
    light = full - inks.astype(float)
    colors: NDArray[Any] = light[:3] * light[3] / full
    colors = np.rint(colors) if inks.dtype.kind in "ui" else colors
    return colors.astype(inks.dtype)


def from_ycbcr(array: NDArray[Any]) -> NDArray[Any]:
    """Return red, green and blue (3, Y, X) of 8-bit luminance and chroma (3, Y, X), as in JPEG."""
    luma, blue, red = array[0].astype(float), array[1] - 128.0, array[2] - 128.0
    colors = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue])
    rounded: NDArray[np.uint8] = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
    return rounded
