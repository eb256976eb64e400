"""Tell images and masks of one folder apart by what they hold, where names do not: ``001.bmp`` and ``001.png``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from ..io.images import ImageRef, read_image
from .mask_clues import in_equal_squares

_LOOKED_AT = 3
_FEW_VALUES, _SOLID = 32, 0.9


def masks_by_suffix(refs: Sequence[ImageRef]) -> frozenset[ImageRef]:
    """Return the masks among files of which two have each name, if those with one suffix hold few values only.

    Files without a partner stay images. A few files are read.
    """
    by_stem: dict[str, dict[str, ImageRef]] = {}
    for ref in refs:
        if ref.frame is None:
            by_stem.setdefault(ref.stem, {})[ref.path.suffix.lower()] = ref
    pairs = [found for found in by_stem.values() if len(found) == 2]
    suffixes = {tuple(sorted(found)) for found in pairs}
    if len(suffixes) != 1:
        return frozenset()
    few = [suffix for suffix in suffixes.pop() if hold_areas([found[suffix] for found in pairs])]
    return frozenset(found[few[0]] for found in pairs) if len(few) == 1 else frozenset()


def hold_areas(refs: Sequence[ImageRef]) -> bool:
    """Tell whether files hold what masks do and photos do not; a few of them are read."""
    return all(map(_holds_areas, refs[:: max(1, len(refs) // _LOOKED_AT)][:_LOOKED_AT]))


def _holds_areas(ref: ImageRef) -> bool:
    """Tell whether there are few values, or nearly all pixels lie in areas of one value, as numbered objects do."""
    try:
        array = read_image(ref, as_labels=True).array
    except DataError:  # said where it is used
        return False
    plane = array.reshape(-1, *array.shape[-2:])[0]
    return len(np.unique(plane)) <= _FEW_VALUES or in_equal_squares(plane).mean() > _SOLID
