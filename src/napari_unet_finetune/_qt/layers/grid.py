"""napari's grid for pairs of layers, given back as it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_STRIDE = 2  # an image and its labels in each cell
_SPACING_PX = 6
_KEPT = ("enabled", "stride", "shape", "spacing")


class GridView:
    """Shows pairs of layers side by side and hides all others until it is left."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._before: dict[str, Any] = {}
        self._camera: tuple[Any, Any] = (None, None)
        self._hidden: list[Layer] = []
        self._linked: list[Layer] = []

    @property
    def is_on(self) -> bool:
        """Tell whether it is shown."""
        return bool(self._before)

    def enter(self, pairs: Sequence[Layer], linked: Sequence[Layer], attributes: Sequence[str]) -> None:
        """Show `pairs`, which are the first layers of the list; `linked` share `attributes` from now on."""
        from napari.experimental import link_layers

        viewer, grid = self._viewer, self._viewer.canvas.grid
        if not self.is_on:
            self._before = {name: getattr(grid, name) for name in _KEPT}
            self._camera = (viewer.scene.camera.center, viewer.scene.camera.zoom)
        for layer in viewer.layers:
            if layer not in pairs and layer.visible:
                layer.visible = False
                self._hidden.append(layer)
        self._unlink()
        if len(linked) > 1:
            link_layers(linked, tuple(attributes))
            self._linked = list(linked)
        was_on = grid.enabled
        down, right = (linked[0].extent.world[1] - linked[0].extent.world[0])[-2:]
        shape = best_shape(len(pairs) // _STRIDE, float(down / right), viewer.canvas.size)
        grid.stride, grid.shape, grid.spacing, grid.enabled = _STRIDE, shape, _SPACING_PX, True
        for layer in pairs:
            layer.visible = True
        if not was_on:
            viewer.fit_to_view(layers=list(pairs))

    def leave(self) -> None:
        """Bring back the grid, the camera, and what was hidden."""
        if not self.is_on:
            return
        grid = self._viewer.canvas.grid
        for name in _KEPT:
            setattr(grid, name, self._before[name])
        self._before = {}
        self._unlink()
        hidden, self._hidden = self._hidden, []
        for layer in hidden:
            if layer in self._viewer.layers:
                layer.visible = True
        center, zoom = self._camera
        self._viewer.scene.camera.center, self._viewer.scene.camera.zoom = center, zoom

    def _unlink(self) -> None:
        from napari.experimental import unlink_layers

        if self._linked:
            unlink_layers(self._linked)
            self._linked = []


def best_shape(count: int, aspect: float, canvas: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns in which `count` images are largest.

    `aspect` is the height of an image over its width, `canvas` height and width of what they are shown in.
    """
    height, width = canvas

    def image_width(columns: int) -> float:
        return min(width / columns, height / math.ceil(count / columns) / aspect)

    columns = max(range(1, count + 1), key=image_width)
    return math.ceil(count / columns), columns
