"""Where a model was wrong on an image, as a layer over it until another image is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...io.images import ImageRef, read_image
from ..annotate.annotation import annotation_of
from ..layers.colors import ERROR_COLORS, paint
from ..layers.layers import ERROR, find_ours, placement_of, remove_ours, selection_kept, show_labels
from ..session.listener import Listener
from ..session.session import Session
from ..session.stage import Place

_OPACITY = 0.7


class ErrorMap(Listener):
    """Shows one map at a time; only the layer made here is ever removed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._name = ""
        self._labels: Any = None
        session.stage.join(Place.ERRORS, self)
        self.at_release(lambda: session.stage.leave(self))

    def show(self, name: str, file: Path) -> None:
        """Show the image called `name` and the map in `file` over it.

        Raises
        ------
        DataError
            If the map cannot be read, or the image has another size by now.
        """
        if not annotation_of(self._session).open(name):
            return
        mask, viewer = annotation_of(self._session).layer, self._session.viewer
        labels = np.asarray(read_image(ImageRef(file), as_labels=True).array).astype(np.uint8)
        if mask is None or labels.shape != mask.data.shape:
            raise DataError(f"{name} has changed since the errors were found. Ask again.")
        with selection_kept(viewer):
            layer = show_labels(
                viewer, ERROR, f"errors on {name}", labels, placement=placement_of(mask), opacity=_OPACITY
            )
            paint(layer, ERROR_COLORS)
            layer.visible = True
        self._name, self._labels = name, layer.data

    def clear(self) -> None:
        """Take the map away, unless the layer shows something else by now."""
        layer = find_ours(self._session.viewer, ERROR)
        if layer is not None and self._labels is not None and layer.data is self._labels:
            remove_ours(self._session.viewer, ERROR)
        self._name, self._labels = "", None

    def follow(self, name: str) -> None:
        """Take the map of another image away."""
        if name != self._name:
            self.clear()
