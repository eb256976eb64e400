"""A picture in the viewer: models laid over it, side by side, or their errors; all else stays as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray
from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import QTimer

from ..layers.colors import ERROR_COLORS, NEARLY_BLACK, paint
from ..layers.grid import GridView
from ..layers.layers import (
    OURS,
    disown,
    find_ours,
    mark_of,
    placement_of_pixels,
    selection_kept,
    show_image,
    show_labels,
)
from ..session.listener import Listener
from .picture import Picture

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

Mode = Literal["overlay", "grid", "errors"]
IMAGE, TRUTH, ERROR, PREFIX = "compare:image", "compare:truth", "compare:error", "compare:"
MODEL = "compare:model:"
COPY = "compare:image:"
_CONTOUR_PX = 2
_OPACITY, _ERROR_OPACITY = 0.6, 0.7
_TITLE_PT, _GRID_TITLE_PT = 12, 8
_TRUTH_TITLE = "ground truth"
_HARMLESS = ("pan_zoom", "transform", "pick")
# What the copies of the image in a grid have in common.
_LINKED = ("contrast_limits", "gamma", "colormap", "opacity")


class ComparisonLayers(Listener):
    """The layers of a comparison; only these are ever changed, others are hidden while the grid is shown.

    `left` is emitted when the grid was given up because somebody else added or removed a layer.
    """

    left = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._grid = GridView(viewer)
        self._is_busy = False
        self._picture: Picture | None = None
        self._drawn: Picture | None = None  # what the layers hold
        self._painted: Any = None  # the layer that was painted in before
        self._size: tuple[int, ...] = ()
        self._size_before_grid: tuple[int, ...] = ()
        self.mode: Mode = "overlay"
        self.label = ""
        self.with_truth = True
        self._soon = QTimer()  # the layer list must not be changed while it tells of a change
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._give_up_grid)
        self.listen(viewer.layers.events.inserted, self._on_layer_added)
        self.listen(viewer.layers.events.removed, self._on_layers_changed)

    @property
    def picture(self) -> Picture | None:
        """What is shown, None if it was taken away."""
        return self._picture if find_ours(self._viewer, IMAGE) is not None else None

    def show(self, picture: Picture, label: str, mode: Mode) -> None:
        """Show `picture` with the model called `label`, in the layers that are there already as far as they fit."""
        if mode == "grid" and self._grid.is_on and picture is self._drawn:
            self.label = label  # all models are shown
            return
        size = picture.pixels.array.shape
        other, self._size = size != self._size, size
        self._picture, self.label = picture, label
        was_grid = self._grid.is_on
        with self._own_changes():
            if mode != "grid":
                self._leave_grid()
            elif not was_grid:
                self._size_before_grid = size
            has_cells = bool(picture.guesses) or picture.truth is not None
            self.mode = mode = mode if has_cells or mode != "grid" else "overlay"
            self._show_layers(picture)
            if mode == "grid":
                self._enter_grid(picture)
            self._set_visible()
        self._stop_painting()
        if other or (was_grid and mode != "grid" and size != self._size_before_grid):
            self._viewer.fit_to_view(layers=[find_ours(self._viewer, IMAGE)])

    def hide(self) -> None:
        """Get out of the way: give back the grid, and hide all layers of the comparison."""
        with self._own_changes():
            self._leave_grid()
            for layer in self._ours():
                layer.visible = False
        self._go_on_painting()
        self._picture, self._size = None, ()

    def clear(self) -> None:
        """Give back the grid, and remove all layers of the comparison."""
        with self._own_changes():
            self._leave_grid()
            for layer in self._ours():
                self._viewer.layers.remove(layer)
        self._go_on_painting()
        self._picture, self._drawn, self._size = None, None, ()

    def release(self) -> None:
        """Give back the grid, remove all layers of the comparison, and let go of the viewer."""
        self.clear()
        self.abandon()

    def abandon(self) -> None:
        """Let go of the viewer without touching it, for its window may be gone."""
        if isalive(self._soon):  # type: ignore[no-untyped-call]  # with PySide6 it goes before, as the application ends
            self._soon.stop()
        super().release()

    def _stop_painting(self) -> None:
        """Select the image, if a click on the canvas would change a layer that lies unseen below it."""
        active = self._viewer.layers.selection.active
        if active is not None and not _is_ours(active) and str(active.mode) not in _HARMLESS:
            self._painted = active
            self._viewer.layers.selection.active = find_ours(self._viewer, IMAGE)

    def _go_on_painting(self) -> None:
        """Select again what was painted in, unless something else was selected meanwhile."""
        layers, painted = self._viewer.layers, self._painted
        self._painted = None
        active = layers.selection.active
        if painted is not None and painted in layers and (active is None or _is_ours(active)):
            layers.selection.active = painted

    def _show_layers(self, picture: Picture) -> None:
        """Fill one layer per model, truth and errors, and put them on top in this order."""
        viewer, placement = self._viewer, placement_of_pixels(picture.pixels)
        image = find_ours(viewer, IMAGE)
        if image is None or picture is not self._drawn:
            image = show_image(viewer, IMAGE, picture.name, picture.pixels)
        self._drawn = picture
        layers = [image]
        for guess in picture.guesses:
            layers.append(self._labels(MODEL + guess.label, guess.title, guess.labels, placement, _OPACITY))
            paint(layers[-1], {None: guess.color})
        if picture.truth is not None:
            layers.append(self._labels(TRUTH, _TRUTH_TITLE, picture.truth, placement, 1.0))
            if layers[-1].contour != _CONTOUR_PX:
                layers[-1].contour = _CONTOUR_PX
            paint(layers[-1], {None: NEARLY_BLACK if picture.is_bright else "white"})
        errors = picture.errors(self.label) if self.mode == "errors" else None
        if errors is not None:
            chosen = picture.guess(self.label)
            title = f"errors of {self.label if chosen is None else chosen.title}"
            layers.append(self._labels(ERROR, title, errors, placement, _ERROR_OPACITY))
            paint(layers[-1], ERROR_COLORS)
        self._remove_others(layers)
        if self.mode != "grid":
            self._order([*(layer for layer in viewer.layers if layer not in layers), *layers])

    def _labels(self, mark: str, name: str, labels: NDArray[Any], placement: Mapping[str, Any], opacity: float) -> Any:
        """Return the layer of `mark` with these labels; drawing the same again would take long on large images."""
        layer = find_ours(self._viewer, mark)
        if layer is None or layer.data is not labels:
            return show_labels(self._viewer, mark, name, labels, placement=placement, opacity=opacity)
        layer.name = name
        return layer

    def _enter_grid(self, picture: Picture) -> None:
        """Give every model, and the truth, a copy of the image below it, which shares its pixels."""
        viewer = self._viewer
        cells = [find_ours(viewer, MODEL + guess.label) for guess in picture.guesses]
        if picture.truth is not None:
            cells.append(find_ours(viewer, TRUTH))
        first = find_ours(viewer, IMAGE)
        images = [first, *(self._copy_image(first, str(place)) for place in range(1, len(cells)))]
        pairs = [layer for pair in zip(images, cells, strict=True) for layer in pair]
        self._order([*pairs, *(layer for layer in viewer.layers if layer not in pairs)])
        self._grid.enter(pairs, images, _LINKED)
        for layer in self._ours():
            if mark_of(layer).startswith(COPY) and layer not in images:
                self._viewer.layers.remove(layer)

    def _copy_image(self, first: Any, place: str) -> Any:
        """Return a layer with the same array, which is not copied."""
        layer = find_ours(self._viewer, COPY + place)
        if layer is not None and layer.rgb == first.rgb and layer.data.ndim == first.data.ndim:
            layer.data, layer.name = first.data, first.name
        else:
            if layer is not None:
                self._viewer.layers.remove(layer)
            layer = self._viewer.add_image(
                first.data, name=first.name, rgb=first.rgb, metadata={OURS: COPY + place}, scale=first.scale,
                units=first.units, axis_labels=first.axis_labels,
            )  # fmt: skip
        layer.scale, layer.units = first.scale, first.units
        for attribute in _LINKED:
            if attribute != "colormap" or not first.rgb:
                setattr(layer, attribute, getattr(first, attribute))
        return layer

    def _leave_grid(self) -> None:
        if not self._grid.is_on:
            return
        self._grid.leave()
        for layer in self._ours():
            if mark_of(layer).startswith(COPY):
                self._viewer.layers.remove(layer)
        self._order([*(layer for layer in self._viewer.layers if not _is_ours(layer)), *self._ours()])
        if self.mode == "grid":
            self.mode = "overlay"

    def _set_visible(self) -> None:
        """Show what belongs to the mode; of the models, only the chosen one unless they stand side by side."""
        is_grid = self.mode == "grid"
        shown = {IMAGE}
        if self.with_truth or is_grid:
            shown.add(TRUTH)
        if self.mode == "errors" and find_ours(self._viewer, ERROR) is not None:
            shown.add(ERROR)
        elif not is_grid:
            shown.add(MODEL + self.label)
        for layer in self._ours():
            mark = mark_of(layer)
            of_grid = is_grid and mark.startswith((MODEL, COPY))
            layer.visible = mark in shown or of_grid
            size = _GRID_TITLE_PT if is_grid else _TITLE_PT
            _show_title(layer, size if layer.visible and _has_title(mark, is_grid=is_grid) else 0)

    def _remove_others(self, kept: Sequence[Layer]) -> None:
        """Remove layers of models and truths that this picture does not have, for they show another one."""
        for layer in self._ours():
            if layer not in kept and not mark_of(layer).startswith(COPY):
                self._viewer.layers.remove(layer)

    def _order(self, layers: Sequence[Layer]) -> None:
        """Bring the layer list into the order of `layers`, moving as few as possible."""
        for place, layer in enumerate(layers):
            if self._viewer.layers[place] is not layer:
                self._viewer.layers.move(self._viewer.layers.index(layer), place)

    def _ours(self) -> list[Any]:
        return [layer for layer in self._viewer.layers if _is_ours(layer)]

    @contextmanager
    def _own_changes(self) -> Iterator[None]:
        """Tell changes of the layer list that are made here from those of others, and keep the selection."""
        was_busy, self._is_busy = self._is_busy, True
        try:
            with selection_kept(self._viewer):
                yield
        finally:
            self._is_busy = was_busy

    def _on_layer_added(self, event: Any) -> None:
        """Leave a layer to the user that is a copy of one made here."""
        if not self._is_busy and _is_ours(event.value):
            disown(event.value)
        self._on_layers_changed(event)

    def _on_layers_changed(self, _event: Any) -> None:
        """Give the grid back when somebody else adds or removes a layer, for cells are counted in the list."""
        if not self._is_busy and self._grid.is_on:
            self._soon.start(0)

    def _give_up_grid(self) -> None:
        with self._own_changes():
            self._leave_grid()
            if self.picture is not None:
                self._set_visible()
        self._viewer.fit_to_view()
        self.left.emit()


def _is_ours(layer: Layer) -> bool:
    return mark_of(layer).startswith(PREFIX)


def _has_title(mark: str, *, is_grid: bool) -> bool:
    return mark.startswith(MODEL) or mark == ERROR or (is_grid and mark == TRUTH)


def _show_title(layer: Any, size: int) -> None:
    """Show the name of `layer` in its cell, `size` points high; 0 hides it."""
    title = layer.name_overlay
    if size:
        title.position, title.font_size = "top_left", size
    if title.visible != bool(size):
        title.visible = bool(size)
