"""Probabilities of the frames of an image, and labels made of them at once whenever the threshold moves."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...config import PredictConfig
from ...events import FULL_PROBABILITY
from ...inference.postprocess import to_labels
from ..layers.layers import PLANE, selection_kept
from ..layers.prediction import Index, PredictionLayer, new_array, show_probabilities
from ..layers.stacks import Stack
from ..session.session import Session
from ..session.worker import Work

if TYPE_CHECKING:
    from napari.layers import Image

# Labels that take longer than this are drawn without being tidied until they are.
SLOW_S = 0.2


@dataclass(frozen=True)
class _Tidied:
    """Labels of a frame as the settings of `generation` want them, and how long that took."""

    generation: int
    index: Index
    labels: NDArray[Any]
    seconds: float


class LivePrediction:
    """What a model sees in the frames of an image layer.

    Parameters
    ----------
    session
        Its viewer shows the labels.
    source
        The layer that is predicted.
    stack
        The frames of that layer.
    model
        File or name of the model.
    folder
        For arrays that are too large for the memory.
    """

    def __init__(self, session: Session, source: Image, *, stack: Stack, model: str, folder: Path) -> None:
        self.session, self.source, self.stack, self.model = session, source, stack, model
        self._folder = folder
        self.config = PredictConfig()
        self.own_threshold = 0.5
        self.probabilities: NDArray[np.uint8] = new_array(stack.shape, np.uint8, folder / f"seen-{id(self)}.npy")
        self.output = PredictionLayer(session.viewer, stack, folder, source)
        self.probability_layer: Image | None = None
        self._predicted: set[Index] = set()
        self._stale: set[Index] = set()
        self._generation = 0
        self._seconds = 0.0  # that the last frame took
        self._work: Work[None] | None = None
        session.viewer.dims.events.current_step.connect(self._on_step)

    @property
    def threshold(self) -> float:
        """Probability above which a pixel is an object."""
        return self.config.threshold or self.own_threshold

    @property
    def is_tidying(self) -> bool:
        """Tell whether labels are still being made."""
        return bool(self._stale)

    @property
    def is_probability_shown(self) -> bool:
        """Tell whether the layer with the probabilities is in the viewer."""
        return self.probability_layer is not None and self.probability_layer in self.session.viewer.layers

    def add(self, index: Index, probabilities: NDArray[np.uint8], own_threshold: float) -> None:
        """Take what the model sees in a frame, 255 standing for 1, and show the labels."""
        self.own_threshold = own_threshold
        if self.output.is_edited(index):
            self._renew()
        self.probabilities[self.stack.at(index)] = probabilities
        self._predicted.add(index)
        self._write_plain(index)
        if not self.output.is_shown or self._is_in_sight(index):
            with selection_kept(self.session.viewer):
                self.output.show()
        if self.probability_layer is not None:
            self.probability_layer.refresh(extent=False, thumbnail=False, highlight=False)
        if not is_plain(self.config):
            self._stale.add(index)
        self._tidy()

    def set_config(self, config: PredictConfig) -> None:
        """Make all labels anew as `config` wants them: those looked at now, the others soon.

        A layer that was deleted stays so. One that the user has painted in is kept, and the labels go to a new one.
        """
        self.config = config
        if not self.output.is_shown:
            return
        self._generation += 1
        shown = self.output.shown_frame
        if self.output.is_edited(shown):
            self._renew()
        self._stale = set(self._predicted)
        if shown in self._stale and (is_plain(config) or self._seconds > SLOW_S):
            self._write_plain(shown)
            self.output.show()
        self._tidy()

    def set_probability_shown(self, shown: bool) -> None:
        """Show the probabilities in a layer of their own, or take it away."""
        layers = self.session.viewer.layers
        layer, self.probability_layer = self.probability_layer, None
        if layer is not None and layer in layers:
            layers.remove(layer)
        if shown:
            with selection_kept(self.session.viewer):
                self.probability_layer = show_probabilities(self.session.viewer, self.stack, self.probabilities)
            if self.output.layer in layers:  # which would be hard to see below
                layers.move(layers.index(self.probability_layer), layers.index(self.output.layer))

    def close(self) -> None:
        """End all work; a layer that is there stays and is the user's from now on."""
        self._generation += 1
        self._stale.clear()
        self.session.viewer.dims.events.current_step.disconnect(self._on_step)
        self.output.leave_to_user()

    def _renew(self) -> None:
        """Leave the layer to the user, who has painted in it, and go on in a new one, which `_tidy` fills."""
        assert self.output.layer is not None
        self.session.tell(f"You have edited {self.output.layer.name}. It is kept, and the labels go to a new layer.")
        shown = self.output.shown_frame
        self.output.leave_to_user()
        self.output = PredictionLayer(self.session.viewer, self.stack, self._folder, self.source)
        self._stale = set(self._predicted)
        if shown in self._stale:
            self._write_plain(shown)
        with selection_kept(self.session.viewer):
            self.output.show()

    def _write_plain(self, index: Index) -> None:
        """Write the labels of a frame at the threshold, not tidied."""
        self.output.write(index, self.probabilities[self.stack.at(index)] > np.uint8(self.threshold * FULL_PROBABILITY))
        if is_plain(self.config):
            self._stale.discard(index)

    def _is_in_sight(self, index: Index) -> bool:
        """Tell whether a frame is looked at; in three dimensions, all are."""
        return index == self.output.shown_frame or self.session.viewer.dims.ndisplay > PLANE

    def _on_step(self) -> None:
        """Bring a frame that is turned to up to date at once if that is quick."""
        if self._stale and is_plain(self.config) and (shown := self.output.shown_frame) in self._stale:
            self._write_plain(shown)
            self.output.show()

    def _tidy(self) -> None:
        """Begin to make the labels that are out of date; work for settings of before ends by itself."""
        if not self._stale or self._work is not None:
            return
        shown = self.output.shown_frame
        order = sorted(self._stale, key=lambda index: (index != shown, index))
        generation, config, threshold = self._generation, self.config, self.threshold

        def labels() -> Generator[_Tidied, None, None]:
            for index in order:
                if self._generation != generation:
                    return
                start = time.perf_counter()
                tidied = to_labels(self.probabilities[self.stack.at(index)], threshold * FULL_PROBABILITY, config)
                yield _Tidied(generation, index, tidied, time.perf_counter() - start)

        self._work = Work(
            labels,
            title=f"Making labels of {self.stack.name}",
            on_event=self._on_tidied,
            on_end=lambda _: self._on_tidying_ended(),
            on_error=self._on_tidying_failed,
        )

    def _on_tidied(self, tidied: _Tidied) -> None:
        if tidied.generation != self._generation:
            return
        self._seconds = tidied.seconds
        if not self.output.is_shown:  # deleted meanwhile
            self._stale.clear()
            return
        if self.output.is_edited(tidied.index):
            self._renew()
        self._stale.discard(tidied.index)
        self.output.write(tidied.index, tidied.labels)
        if self._is_in_sight(tidied.index):
            self.output.show()

    def _on_tidying_ended(self) -> None:
        self._work = None
        self._tidy()

    def _on_tidying_failed(self, error: Exception) -> None:
        self._work = None
        self._stale.clear()
        self.session.fail(error)


def is_plain(config: PredictConfig) -> bool:
    """Tell whether labels are what is above the threshold, and nothing else."""
    return config.min_size_px <= 1 and not config.fill_holes and not config.instances
