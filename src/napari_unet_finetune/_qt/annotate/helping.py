"""Painting with the help of a prediction: a click adds or removes one object, a drag keeps what is in a rectangle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FinetuneError
from ...project.guess import between, kept_inside, toggled
from ..layers.layers import OURS, selection_kept
from ..session.listener import Listener
from .annotation import Annotation
from .first_guess import Found, predict_current
from .paint import OBJECT, change_paint

if TYPE_CHECKING:
    from napari.layers import Labels, Shapes

KEY = "Shift"
RECTANGLE = "rectangle"
Point = tuple[float, float]


class Helping(Listener):
    """Takes clicks and drags of the mouse with `KEY` pressed on the layer that is painted in; the brush stays chosen.

    The current image is predicted when that is first needed, and again for another model or another view of it.
    """

    def __init__(self, annotation: Annotation) -> None:
        self._annotation = annotation
        self._found: tuple[object, Found] | None = None
        callbacks = annotation.session.viewer.mouse_drag_callbacks
        callbacks.append(self._on_press)
        self.at_release(lambda: callbacks.remove(self._on_press))

    def toggle(self, place: Point) -> None:
        """Remove the painted object at `place` (Y, X), or add the one that the model finds there."""
        layer = self._annotation.layer
        if layer is None or not _is_within(layer, place):
            return
        is_sparse = self._annotation.session.project is not None and self._annotation.session.project.sparse
        label = layer.selected_label or OBJECT
        y, x = round(place[0]), round(place[1])

        def change(found: NDArray[np.uint16] | None) -> bool:
            changed = toggled(np.asarray(layer.data), found, (y, x), label, sparse=is_sparse)
            if changed is not None:
                change_paint(layer, changed)
            return changed is not None

        def add(found: Found) -> None:
            if not change(found.labels):
                session, nothing = self._annotation.session, "The model finds no object there. Paint it by hand."
                session.tell(found.told(nothing), holds=lambda: session.current == found.name)

        if not change(None):
            self._with_prediction(add)

    def keep_inside(self, first: Point, last: Point) -> None:
        """Add what the model finds in a rectangle where nothing is painted; outside, what was only predicted goes."""
        layer = self._annotation.layer
        if layer is not None:
            box = between(first, last)
            guess = self._annotation.guess
            self._with_prediction(
                lambda found: change_paint(layer, kept_inside(np.asarray(layer.data), found.labels, box, guess))
            )

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        layer = self._annotation.layer
        active = self._annotation.session.viewer.layers.selection.active
        if layer is None or active is not layer or KEY not in event.modifiers or event.button != 1:
            return
        if len(event.dims_displayed) != layer.ndim:
            return
        yield from self._drag(layer, event)

    def _drag(self, layer: Labels, event: Any) -> Iterator[None]:
        first = last = _place(layer, event)
        mode, layer.mode = str(layer.mode), "pan_zoom"  # so that the brush does not paint meanwhile
        rectangle = None
        try:
            event.handled = True  # nor does the image move
            yield
            while event.type == "mouse_move":
                event.handled, last = True, _place(layer, event)
                rectangle = self._show(rectangle, layer, first, last)
                yield
        finally:
            layer.mode = mode
            if rectangle is not None and rectangle in self._annotation.session.viewer.layers:
                self._annotation.session.viewer.layers.remove(rectangle)
        if rectangle is None:
            self.toggle(first)
        else:
            self.keep_inside(first, last)

    def _show(self, rectangle: Shapes | None, layer: Labels, first: Point, last: Point) -> Shapes | None:
        """Show the rectangle that is dragged, once it is larger than a trembling hand."""
        if rectangle is None and max(abs(first[0] - last[0]), abs(first[1] - last[1])) < 2:
            return None
        (top, left), (low, right) = first, last
        corners = np.array([(top, left), (top, right), (low, right), (low, left)])
        if rectangle is not None:
            rectangle.data = [corners]
            return rectangle
        from napari.layers import Shapes

        rectangle = Shapes(
            [corners], shape_type="rectangle", face_color="transparent", edge_color="white", edge_width=1,
            name="keep the prediction in here", metadata={OURS: RECTANGLE}, scale=layer.scale,
            translate=layer.translate, units=layer.units, axis_labels=layer.axis_labels,
        )  # fmt: skip
        viewer = self._annotation.session.viewer
        with selection_kept(viewer):
            viewer.layers.append(rectangle)
        return rectangle

    def _with_prediction(self, then: Callable[[Found], object]) -> None:
        """Call `then` with what the current model finds in the current image, as soon as that is known."""
        session = self._annotation.session
        key = (session.current, session.predictor, session.prediction_by(session.predictor))
        if self._found is not None and self._found[0] == key:
            then(self._found[1])
            return

        def on_found(found: Found) -> None:
            layer, name = self._annotation.layer, found.name
            if layer is None or session.current != name or found.labels.shape != layer.data.shape:
                closed = f"{name} was closed before its prediction arrived. Open it and try again."
                session.tell(closed, holds=lambda: session.current != name or self._annotation.layer is None)
                return
            self._found = (key, found)
            told = found.told(f"{name} is predicted; further clicks act at once.")
            session.tell(told, holds=lambda: session.current == name)
            then(found)

        try:
            predict_current(self._annotation, on_found)
        except FinetuneError as error:
            session.fail(error)


def _place(layer: Labels, event: Any) -> Point:
    y, x = layer.world_to_data(event.position)[-2:]
    return float(y), float(x)


def _is_within(layer: Labels, place: Point) -> bool:
    return all(0 <= round(at) < size for at, size in zip(place, layer.data.shape, strict=True))
