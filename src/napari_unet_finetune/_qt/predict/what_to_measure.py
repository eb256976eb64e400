"""Which layers can be measured, and which are meant while nobody has chosen: the newest prediction, on its image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..annotate.paint import IMAGE, PAINTING
from ..compare.layers import COPY, PREFIX
from ..compare.layers import ERROR as COMPARED_ERROR
from ..layers.layers import ERROR, PLANE, mark_of
from ..layers.prediction import PREDICTION, RUN_PREDICTION, is_made_of, is_of_model
from .folder import is_opened

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer


def labels_in(layers: Sequence[Layer]) -> list[Labels]:
    """Return the layers that show objects; what a model got wrong is none."""
    from napari.layers import Labels

    return [layer for layer in layers if isinstance(layer, Labels) and mark_of(layer) not in (ERROR, COMPARED_ERROR)]


def images_in(layers: Sequence[Layer]) -> list[Image]:
    """Return the images; probabilities and what a model sees are none, one side by side with itself counts once."""
    from napari.layers import Image

    images = [layer for layer in layers if isinstance(layer, Image) and not is_of_model(layer)]
    return [layer for layer in images if not mark_of(layer).startswith(COPY)]


def is_seen(layer: Layer) -> bool:
    """Tell whether `layer` holds what a model sees in the image that is shown."""
    return mark_of(layer) in (PREDICTION, RUN_PREDICTION) or is_opened(layer)


def is_mask(layer: Layer) -> bool:
    """Tell whether `layer` is the one that is painted in, which is selected whatever else the user is about."""
    return mark_of(layer) == PAINTING


def usual_labels(labels: Sequence[Labels]) -> Labels | None:
    """Return the newest prediction, else the mask of the user, else the topmost layer that can be seen.

    `labels` come in the order in which they came into the viewer.
    """
    visible = [layer for layer in reversed(labels) if layer.visible]
    seen = (layer for layer in visible if is_seen(layer))
    masks = (layer for layer in labels if is_mask(layer))
    return next(iter([*seen, *masks, *visible, *reversed(labels)]), None)


def usual_image(images: Sequence[Image], labels: Labels | None) -> Image | None:
    """Return the image that `labels` lie on, as far as that can be told, else the topmost of their size."""
    if labels is None or not images:
        return images[-1] if images else None
    return max(enumerate(images), key=lambda one: (*_likeness(one[1], labels), one[0]))[1]


def may_lie_on(labels: Labels | None, image: Image) -> bool:
    """Tell whether `labels` may be of `image`: a prediction is of its own, and a comparison shows images of its own."""
    if labels is None or is_made_of(labels, image):
        return True
    return mark_of(labels) != PREDICTION and _is_compared(labels) == _is_compared(image)


def size_of(layer: Any) -> tuple[int, ...]:
    """Return the size (Y, X) of a layer in pixels."""
    data = layer.data[0] if layer.multiscale else layer.data
    size: tuple[int, ...] = data.shape[:-1][-PLANE:] if getattr(layer, "rgb", False) else data.shape[-PLANE:]
    return size


def _likeness(image: Image, labels: Labels) -> tuple[bool, ...]:
    """Return what speaks for it that `labels` lie on `image`, the strongest first."""
    of_dataset = mark_of(image) == IMAGE and mark_of(labels) in (PAINTING, RUN_PREDICTION)
    return (
        is_made_of(labels, image),
        size_of(image) == size_of(labels),
        may_lie_on(labels, image),
        of_dataset or labels.name == f"{image.name} {PREDICTION}",
        image.visible,
    )


def _is_compared(layer: Layer) -> bool:
    return mark_of(layer).startswith(PREFIX)
