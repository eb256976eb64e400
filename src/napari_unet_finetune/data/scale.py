"""How much larger or smaller objects are than those a model knows."""

from __future__ import annotations

from .statistics import DataStatistics

# Training already varies the size by 0.7 to 1.4: within these factors nothing is gained by resampling images.
TOLERATED = (0.67, 1.5)
# Resampling further would leave too few pixels, or blow up the image.
LIMITS = (0.1, 8.0)
# Objects that differ more in their elongation are of another kind, such as filaments and cells.
_SAME_SHAPE = 4.0


def scale_factor(base: DataStatistics | None, new: DataStatistics | None) -> float | None:
    """Return by which factor images must be resampled for their objects to be as wide as those of the base's data.

    ``None`` where either width means nothing: no masks, strokes, layers, objects that run through the image or are of
    another shape.
    """
    if base is None or new is None or not base.object_width_px or not new.object_width_px:
        return None
    shapes = sorted((base.object_elongation or 1, new.object_elongation or 1))
    if shapes[1] > _SAME_SHAPE * shapes[0]:
        return None
    low, high = LIMITS
    return round(min(max(base.object_width_px / new.object_width_px, low), high), 2)


def is_worth_rescaling(factor: float | None) -> bool:
    """Tell whether objects differ more in size than a model tolerates."""
    return factor is not None and not TOLERATED[0] <= factor <= TOLERATED[1]
