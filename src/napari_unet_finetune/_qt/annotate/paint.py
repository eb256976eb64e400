"""The Labels layer in which one image is painted: how it looks, what the brush is, and edits that can be undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...colors import BACKGROUND_STROKE, PAINTED
from ...data.masks import BACKGROUND
from ...io.pixels import ImagePixels
from ..layers.colors import palette, steady
from ..layers.layers import OURS, PLANE, change, disown, mark_of, placement_of_pixels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

IMAGE, PAINTING = "image", "painting"
OBJECT = 1  # the label to begin with; every other number but that of background is an object too
KEPT_HISTORIES = 5  # images whose steps can still be undone after going to another
_BRUSH_SHARE = 50  # the brush is this many times smaller than the image
_SMALLEST_BRUSH_PX = 4
_LARGEST_BRUSH_PX = 40
_MOST_UNDOABLE_PX = 10_000_000
_FILLED = 0.95
_STROKES = f"{OURS}-strokes"  # in the metadata of a layer: it is colored so that strokes of background stand out


@dataclass(frozen=True)
class Brush:
    """What a user has set on one painting layer and expects on the next."""

    size: float
    label: int
    mode: str = "paint"
    opacity: float = 0.5
    contour: int = 0

    @classmethod
    def of(cls, layer: Labels) -> Brush:
        """Return what is set on `layer`."""
        mode = traveling(str(layer.mode))
        return cls(layer.brush_size, layer.selected_label, mode, layer.opacity, layer.contour)

    @classmethod
    def first(cls, size: tuple[int, int]) -> Brush:
        """Return what to begin with on an image of `size`."""
        px = min(max(min(size) // _BRUSH_SHARE, _SMALLEST_BRUSH_PX), _LARGEST_BRUSH_PX)
        return cls(px, OBJECT)

    def apply(self, layer: Labels) -> None:
        """Set everything on `layer`."""
        layer.opacity, layer.contour = self.opacity, self.contour
        layer.brush_size, layer.selected_label, layer.mode = self.size, self.label, self.mode


def traveling(mode: str) -> str:
    """Return the mode of a layer for the next image: a bucket would flood it at the first click."""
    return "paint" if mode in ("fill", "pick", "transform") else mode


@dataclass(frozen=True)
class History:
    """What was painted in an image, and the steps that can be undone and redone.

    napari has no public way to them. One that keeps them elsewhere has no history, and each image gets a new layer.
    """

    labels: NDArray[np.uint16]
    undo: tuple[Any, ...] = ()
    redo: tuple[Any, ...] = ()

    @classmethod
    def of(cls, layer: Labels) -> History | None:
        """Return the history of what is painted in `layer`."""
        if not all(hasattr(layer, name) for name in ("_undo_history", "_redo_history", "_reset_history")):
            return None
        return cls(np.asarray(layer.data), tuple(layer._undo_history), tuple(layer._redo_history))

    def give_to(self, layer: Labels) -> None:
        """Let the steps of `layer` be these and no others."""
        layer._reset_history()
        layer._undo_history.extend(self.undo)
        layer._redo_history.extend(self.redo)


class Histories:
    """What can still be undone in the images that were gone from last."""

    def __init__(self) -> None:
        self._of: dict[str, History] = {}

    def keep(self, name: str, layer: Labels) -> None:
        """Keep the history of what is painted in an image; of too many the oldest goes."""
        history = History.of(layer)
        if history is not None:
            self._of[name] = history
            while len(self._of) > KEPT_HISTORIES:
                del self._of[next(iter(self._of))]

    def take(self, name: str, stored: NDArray[np.uint16]) -> History:
        """Return what can be undone in an image, nothing if its mask on disk is not what was painted."""
        history = self._of.pop(name, None)
        return history if history is not None and np.array_equal(history.labels, stored) else History(stored)

    def forget(self, names: Iterable[str]) -> None:
        """Forget the histories of images whose masks have changed on disk."""
        for name in names:
            self._of.pop(name, None)

    def clear(self) -> None:
        """Forget all."""
        self._of.clear()


def new_painting(name: str, labels: NDArray[np.uint16], pixels: ImagePixels) -> Labels:
    """Return a layer to paint `labels` of the image `name` in; the array is copied."""
    from napari.layers import Labels

    return Labels(
        np.array(labels, np.uint16), name=layer_name(name), metadata={OURS: PAINTING}, **placement_of_pixels(pixels)
    )


def color_by_meaning(layer: Labels, *, sparse: bool) -> None:
    """Color background apart from objects where strokes of it are or may be painted, else each object for itself."""
    has_strokes = sparse or bool((np.asarray(layer.data) == BACKGROUND).any())
    if layer.metadata.get(_STROKES) is not has_strokes:
        layer.metadata[_STROKES] = has_strokes
        layer.colormap = steady({BACKGROUND: BACKGROUND_STROKE, None: PAINTED}) if has_strokes else palette(PAINTED)


def repaint(layer: Labels, name: str, history: History, pixels: ImagePixels) -> None:
    """Let `layer` be the one of another image, which takes napari a fifth of the time of a new layer."""
    mode = traveling(str(layer.mode))
    layer.data = np.array(history.labels, np.uint16)
    history.give_to(layer)
    layer.name = layer_name(name)
    change(layer, visible=True, **placement_of_pixels(pixels))
    change(layer, mode=mode)  # with new data napari goes back to moving the image


def layer_name(name: str) -> str:
    """Return how the painting layer of an image is called."""
    return f"mask · {name}"


def snapshot(layer: Labels) -> NDArray[np.uint16]:
    """Return a copy of what is painted."""
    return np.array(layer.data, np.uint16)


def is_painted(layer: Labels) -> bool:
    """Tell whether there is any paint."""
    return bool(np.asarray(layer.data).any())


def differs(layer: Labels, labels: NDArray[np.uint16]) -> bool:
    """Tell whether what is painted is something else than `labels`."""
    return not np.array_equal(layer.data, labels)


def add_paint(layer: Labels, labels: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Paint `labels` where nothing is painted, as one step that can be undone, and return where that was."""
    free: NDArray[np.bool_] = (labels > 0) & (np.asarray(layer.data) == 0)
    count = int(np.count_nonzero(free))
    if count > _MOST_UNDOABLE_PX:  # napari keeps three numbers per pixel for it
        np.copyto(layer.data, labels, where=free)
        layer.refresh()
    elif count:
        places = np.nonzero(free)
        layer.data_setitem(places, labels[places])
    return free


def change_paint(layer: Labels, labels: NDArray[np.uint16]) -> None:
    """Let what is painted be `labels`, as one step that can be undone."""
    places = np.nonzero(np.asarray(layer.data) != labels)
    if places[0].size > _MOST_UNDOABLE_PX:
        np.copyto(layer.data, labels)
        layer.refresh()
    elif places[0].size:
        layer.data_setitem(places, labels[places])


def fill_with(layer: Labels, value: int) -> None:
    """Give every pixel the same label, as one step that can be undone."""
    if value == 0:
        layer.data_setitem(np.nonzero(np.asarray(layer.data)), 0)
        return
    contiguous, layer.contiguous = layer.contiguous, False
    with layer.block_history():  # napari's own fill remembers whole regions for little memory
        for label in np.unique(layer.data):
            if label != value:
                place = np.unravel_index(int(np.argmax(np.asarray(layer.data) == label)), layer.data.shape)
                layer.fill(tuple(float(number) for number in place), value)
    layer.contiguous = contiguous


def show_whole(viewer: ViewerModel, layer: Layer) -> None:
    """Set the zoom so that `layer` fills the canvas; napari's own way fails beside layers of more dimensions."""
    if viewer.dims.ndisplay != PLANE:
        return
    low, high = viewer.layers.get_extent([layer]).world[:, -PLANE:]
    pixel = np.abs(layer.scale[-PLANE:])
    down, right = (low + high) / 2
    viewer.scene.camera.center = (float(down), float(right))
    viewer.scene.camera.zoom = float(_FILLED * np.min(np.asarray(viewer.canvas.size) / (high - low + pixel)))


def disown_copies(viewer: ViewerModel, *ours: Layer | None) -> None:
    """Leave layers that a user duplicated from ours, or kept from a dock that was closed, to the user."""
    for layer in viewer.layers:
        if mark_of(layer) in (IMAGE, PAINTING) and not any(layer is one for one in ours):
            disown(layer)
