"""From arrays to napari layers: what this plugin shows, where it lies, and how to find it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...io.pixels import ImagePixels
from .contrast import give_channels_their_contrast

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

OURS = "napari-unet-finetune"
"""Key in a layer's metadata under which this plugin notes what it made the layer for."""

ERROR = "error"  # where a model was wrong on the image that is annotated

_PLACEMENT = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
PLANE = 2  # rows and columns


def mark_of(layer: Layer) -> str:
    """Return what this plugin made `layer` for, empty if it did not."""
    return str(layer.metadata.get(OURS, ""))


def disown(layer: Layer) -> None:
    """Leave `layer` to the user: it is neither found nor changed nor removed any more."""
    layer.metadata = {key: value for key, value in layer.metadata.items() if key != OURS}


def find_ours(viewer: ViewerModel, mark: str) -> Any:
    """Return the layer that was made for `mark`, or None if there is none (any more)."""
    return next((layer for layer in viewer.layers if mark and mark_of(layer) == mark), None)


def remove_ours(viewer: ViewerModel, mark: str) -> None:
    """Remove the layer that was made for `mark`, if it is still there; no other layer is touched."""
    layer = find_ours(viewer, mark)
    if layer is not None:
        viewer.layers.remove(layer)


def show_image(
    viewer: ViewerModel,
    mark: str,
    name: str,
    pixels: ImagePixels,
    *,
    below: str = "",
    shares_contrast: bool = False,
    **options: Any,
) -> Image:
    """Show an image, (Y, X) or (C, Y, X), in the layer made for `mark`, which is made anew if it does not fit.

    Three channels of 8 or 16 bits are shown as colors, others behind a slider, each with its own contrast unless
    `shares_contrast`. A new layer goes below that of `below`.
    """
    from napari.layers import Image

    array, is_rgb = _displayed(pixels.array)
    layer = find_ours(viewer, mark)
    if layer is not None and not _fits(layer, array, is_rgb=is_rgb):
        viewer.layers.remove(layer)
        layer = None
    lead = array.ndim - PLANE - is_rgb
    placement = {"scale": (*(1.0,) * lead, *pixels.scale), "units": (*("pixel",) * lead, *(_unit(pixels.unit),) * 2)}
    if layer is None:
        layer = Image(
            array, name=name, rgb=is_rgb, metadata={OURS: mark}, axis_labels=(*("c",) * lead, "y", "x"), **placement,
            **options,
        )  # fmt: skip
        _insert(viewer, layer, below)
        if lead and not shares_contrast:
            give_channels_their_contrast(viewer, layer)
        return layer
    same_type = layer.data.dtype == array.dtype
    limits = tuple(layer.contrast_limits) if same_type and not is_rgb else None
    layer.data, layer.name = array, name
    change(layer, **placement)
    if limits:
        change(layer, contrast_limits=limits)
    elif not is_rgb:
        layer.reset_contrast_limits()
    return layer


def _fits(layer: Image, array: NDArray[Any], *, is_rgb: bool) -> bool:
    """Tell whether `layer` can show `array`; the limits of channels hold for channels like them only."""
    if layer.rgb != is_rgb or layer.data.ndim != array.ndim:
        return False
    is_one = is_rgb or array.ndim == PLANE
    return is_one or (layer.data.dtype, len(layer.data)) == (array.dtype, len(array))


def show_labels(
    viewer: ViewerModel,
    mark: str,
    name: str,
    labels: NDArray[np.integer[Any]],
    *,
    placement: Mapping[str, Any] | None = None,
    below: str = "",
    **options: Any,
) -> Labels:
    """Show labels in the layer made for `mark`; a layer of that mark gets the new data, otherwise one is made.

    `placement` comes from `placement_of`; without it the layer lies on pixels. What follows holds for a new layer only:
    it goes below that of `below`, and `options` are those of napari, with ``editable=False`` to forbid painting.
    """
    from napari.layers import Labels

    layer = find_ours(viewer, mark)
    if layer is not None and layer.data.ndim != labels.ndim:
        viewer.layers.remove(layer)
        layer = None
    if layer is None:
        is_locked = not options.pop("editable", True)
        layer = Labels(labels, name=name, metadata={OURS: mark}, **dict(placement or {}), **options)
        if is_locked:
            _lock(layer)
        _insert(viewer, layer, below)
        return layer
    layer.data, layer.name = labels, name
    change(layer, **dict(placement or {}))
    return layer


def update_labels(viewer: ViewerModel, mark: str, name: str, labels: NDArray[np.uint8]) -> bool:
    """Draw `labels` into the layer made for `mark` without making anything anew, and tell whether there is one to fit.

    Cheap enough for what changes every second; extent and thumbnail stay as they are.
    """
    layer = find_ours(viewer, mark)
    if layer is None or layer.data.shape != labels.shape or layer.data.dtype != labels.dtype:
        return False
    layer.data[...] = labels
    layer.name = name
    layer.refresh(extent=False, thumbnail=False, highlight=False)
    return True


def change(layer: Layer, **values: Any) -> None:
    """Set what is not so already: napari draws a layer anew with each of its properties that is set."""
    for name, value in values.items():
        if not _is_same(getattr(layer, name), value):
            setattr(layer, name, value)


def _is_same(now: Any, value: Any) -> bool:
    if isinstance(now, tuple) and now and hasattr(now[0], "dimensionality"):  # units, which words may stand for
        return list(now) == [type(unit)(str(one)) for unit, one in zip(now, value, strict=True)]
    now, value = (getattr(one, "affine_matrix", one) for one in (now, value))
    return bool(np.array_equal(now, value))


def _insert(viewer: ViewerModel, layer: Layer, below: str) -> None:
    """Add `layer` right below the one made for `below`, on top if there is none; to add and then move takes longer."""
    above = find_ours(viewer, below)
    viewer.layers.insert(len(viewer.layers) if above is None else viewer.layers.index(above), layer)


def _lock(layer: Labels) -> None:
    """Forbid painting, and spare napari the brush and the polygon, which it makes for what is visible of a layer.

    They take a third of the time that a new Labels layer takes. napari has no public way to them: where it keeps them
    elsewhere, they are made as ever.
    """
    layer.editable = False
    for overlay in getattr(layer, "_overlays", {}).values():
        overlay.visible = False


@contextmanager
def selection_kept(viewer: ViewerModel) -> Iterator[None]:
    """Keep the selected layers, and those painted in, selected while layers are added.

    napari hears only of what has changed at the end: to follow a selection and back takes it a third of the time
    that a new layer takes.
    """
    layers, selection = viewer.layers, viewer.layers.selection
    selected = set(selection)
    with selection.events.blocker_all():
        try:
            yield
        finally:
            gone = {layer for layer in selected if layer not in layers}
            selection.clear()
            selection.update(selected - gone)
    if gone:
        selection.events.changed(added=set(), removed=gone)
        selection.events.active(value=selection.active)


def placement_of(layer: Layer, ndim: int = PLANE) -> dict[str, Any]:
    """Return where the last `ndim` axes of `layer` lie in the world, as arguments for a new layer."""
    if ndim == layer.ndim:
        return {key: getattr(layer, key) for key in _PLACEMENT}
    return {
        "scale": tuple(layer.scale[-ndim:]),
        "translate": tuple(layer.translate[-ndim:]),
        "rotate": np.asarray(layer.rotate)[-ndim:, -ndim:],
        "shear": _shear_of_last(layer, ndim),
        "units": tuple(layer.units[-ndim:]),
        "axis_labels": tuple(layer.axis_labels[-ndim:]),
        "affine": np.asarray(layer.affine.affine_matrix)[-ndim - 1 :, -ndim - 1 :],
    }


def _shear_of_last(layer: Layer, ndim: int) -> NDArray[np.float64]:
    """Return the shears among the last `ndim` axes; napari lists those of a layer row by row above the diagonal."""
    above = np.triu_indices(layer.ndim, 1)
    shears: NDArray[np.float64] = np.asarray(layer.shear)[np.min(above, axis=0) >= layer.ndim - ndim]
    return shears


def placement_of_pixels(pixels: ImagePixels) -> dict[str, Any]:
    """Return where a plane of `pixels` lies in the world, as arguments for a new layer."""
    return {"scale": pixels.scale, "units": (_unit(pixels.unit),) * 2, "axis_labels": ("y", "x")}


def file_of(layer: Layer) -> Path | None:
    """Return the file that `layer` was read from, or None if it is not known or no longer there."""
    path = layer.source.path
    return Path(path) if path and Path(path).exists() else None


def _displayed(array: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Return what napari shows of (Y, X) or (C, Y, X), and whether it is colors."""
    if array.ndim == 3 and len(array) == 3 and array.dtype.kind in "uf" and array.dtype.itemsize <= 4:
        colors = np.moveaxis(array, 0, -1)
        return (colors if array.dtype == np.uint8 else _as_8_bits(colors)), True
    return array.astype(np.uint8) if array.dtype == bool else array, False


def _as_8_bits(colors: NDArray[Any]) -> NDArray[np.uint8]:
    """Return colors stretched to 8 bits, for display only."""
    low, high = np.percentile(colors, (0.1, 99.9))
    stretched: NDArray[np.uint8] = (np.clip((colors - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    return stretched


def _unit(unit: str) -> str:
    """Return a unit as napari knows it."""
    return "pixel" if unit in ("px", "") else unit
