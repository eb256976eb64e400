"""What a model sees: the current image as it enters the network, in a layer of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ...data.annotated_image import AnnotatedImage
from ...data.appearance import Appearance, named
from ...data.normalize import possible_sights, see
from ...io.pixels import ImagePixels
from ...models.card import FileCard
from ...models.foreign.description import steps_of
from ..annotate.paint import IMAGE, PAINTING
from ..layers.layers import OURS, find_ours, remove_ours, selection_kept, show_image
from ..layers.prediction import SIGHT, made_of
from ..session.listener import Listener
from ..session.session import Session
from ..session.stage import Place
from ..session.worker import in_background

_Seen = tuple[ImagePixels, NDArray[np.float32], str]


class ModelSight(Listener):
    """The layer that shows it, for as long as it is wanted; `changed` is emitted when the user deletes it."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.is_shown = False
        self._card: FileCard | None = None
        self._removing = False
        self._asked: object = None
        self.at_release(self.hide)
        session.stage.join(Place.SIGHT, self)
        self.at_release(lambda: session.stage.leave(self))
        self.listen(session.viewer.layers.events.removed, self._on_removed)
        for signal in (session.channels_changed, session.appearance_changed):
            self.listen(signal, lambda: self.follow(session.current))

    def show(self, card: FileCard) -> None:
        """Show what the model of `card` sees, now and after going to another image."""
        self._card, self.is_shown = card, True
        self.follow(self.session.current)

    def hide(self) -> None:
        """Take the layer away."""
        self.is_shown, self._asked = False, None
        self._remove()

    def clear(self) -> None:
        """Take the layer away until an image is shown."""
        self._asked = None
        self._remove()

    def follow(self, name: str | None) -> None:
        """Show how the image called `name` is seen, if that is wanted."""
        project, card = self.session.project, self._card
        if not self.is_shown:
            return
        if project is None or name is None or card is None:
            self._remove()
            return

        view = card.seeing(self.session.channels).view
        if (chosen := named(self.session.appearance_of(card.path), view.in_channels)) is not None:
            view = view.as_one_of(chosen)

        def look() -> _Seen:
            pixels = project.read_image(name)
            image = AnnotatedImage(name, pixels.array, channel_names=pixels.channels)
            sight, *others = possible_sights(image, view)
            seen = see(image, view, sight)
            for step in steps_of(card):
                seen = step(seen)
            return pixels, seen, _in_words(sight.appearance, len(seen), is_open=bool(others))

        asked = self._asked = object()

        def on_end(found: _Seen) -> None:
            if asked is self._asked:
                self._show(name, card, *found)

        def on_error(error: Exception) -> None:
            if asked is self._asked:
                self.hide()
                self.changed.emit()
                self.session.fail(error)

        in_background(look, title=f"Looking at {name}", on_end=on_end, on_error=on_error)

    def _show(self, name: str, card: FileCard, pixels: ImagePixels, seen: NDArray[np.float32], how: str) -> None:
        array = seen[0] if len(seen) == 1 else seen
        viewer, limits = self.session.viewer, (-1.0, 3.0) if card.normalization.method == "zscore" else (0.0, 1.0)
        with selection_kept(viewer):
            self._removing = True  # a layer that does not fit is replaced
            image = ImagePixels(array, pixels.scale, pixels.unit)
            title = f"{name} as {card.name} sees it{how}"
            layer = show_image(viewer, SIGHT, title, image, below=PAINTING, shares_contrast=True)
            self._removing = False
            layer.metadata.update(made_of(find_ours(viewer, IMAGE)))
            if not layer.rgb:
                layer.contrast_limits = limits

    def _remove(self) -> None:
        self._removing = True
        remove_ours(self.session.viewer, SIGHT)
        self._removing = False

    def _on_removed(self, event: Any) -> None:
        if (
            not self._removing
            and event.value.metadata.get(OURS) == SIGHT
            and find_ours(self.session.viewer, SIGHT) is None
        ):
            self.is_shown, self._asked = False, None
            self.changed.emit()


def _in_words(appearance: Appearance, channels: int, *, is_open: bool) -> str:
    """Return how an image is shown; where it `is_open` to the network, intensities alone tell how it probably is."""
    if is_open:
        return f", probably {appearance.done_in_words(channels)}"
    return f", {appearance.in_words(channels)}" if appearance.changes else ""
