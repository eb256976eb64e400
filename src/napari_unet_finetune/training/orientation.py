"""Whether patches may be turned: in images of layers, what lies above and below is part of what a layer is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..config import FinetuneConfig
from ..data import objects
from .store import PreparedImage


def settle_orientation(config: FinetuneConfig, images: Sequence[PreparedImage]) -> tuple[FinetuneConfig, str]:
    """Return settings in which `auto` is replaced by what the masks show, and a sentence if that limits turning."""
    augment = config.augment
    if augment.orientation != "auto" or not (augment.flips or augment.p_affine):
        return config, ""
    if any(image.anywhere is not None for image in images):  # the shape of a stroke is the painter's
        return _with_orientation(config, "any"), ""
    by_row, by_column = np.mean([layering(image) for image in images], axis=0)
    if max(by_row, by_column) < objects.LAYERED:
        return _with_orientation(config, "any"), ""
    upright = by_row >= by_column
    note = (
        f"Objects lie in {'horizontal' if upright else 'vertical'} layers "
        f"({max(by_row, by_column):.0%} of the masks follow from the {'row' if upright else 'column'} alone): "
        "patches are mirrored along the layers but neither turned nor mirrored across them. If that is wrong, set "
        "augment.orientation to any."
    )
    return _with_orientation(config, "upright" if upright else "sideways"), note


def layering(image: PreparedImage) -> tuple[float, float]:
    """Return the share of the mask's variance that lies between its rows, and between its columns."""
    return objects.layering(image.target.cpu().numpy() > 0)


def _with_orientation(config: FinetuneConfig, orientation: str) -> FinetuneConfig:
    return config.model_copy(update={"augment": config.augment.model_copy(update={"orientation": orientation})})
