"""The dialog in which frames of an open Labels layer are imported as masks of the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QWidget,
)

from ...project.layer_import import (
    FramePlan,
    FrameValues,
    LabelFrames,
    best_stack,
    find_stacks,
    look_through,
    take_frames,
)
from ...project.project import Project
from ..layers.frames import channel_axis, frame_shape, frames_of
from ..layers.layers import PLANE, mark_of
from ..widgets.editors import shrink
from ..widgets.layout import in_form
from .take_dialog import TakeDialog

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels


@dataclass(frozen=True, eq=False)
class LabelsChoice:
    """A Labels layer whose frames can become masks, and what is known of them."""

    layer: Labels
    frames: LabelFrames

    def planes(self, numbers: Sequence[int] | None = None) -> Iterator[NDArray[Any]]:
        """Yield copies of the frames with these numbers, counted through all axes; of all frames without numbers."""
        shape = self.frames.shape
        chosen = range(self.frames.count) if numbers is None else numbers
        places = (tuple(int(number) for number in np.unravel_index(one, shape)) for one in chosen)
        for frame in frames_of(self.layer, places):
            yield frame.pixels.reshape(self.frames.size)


def labels_choices(viewer: ViewerModel) -> list[LabelsChoice]:
    """Return the Labels layers of `viewer` that are not ours; the selected one comes first, then the topmost."""
    from napari.layers import Labels

    found = [layer for layer in reversed(viewer.layers) if isinstance(layer, Labels) and _is_usable(layer)]
    found.sort(key=lambda layer: layer is not viewer.layers.selection.active)
    return [LabelsChoice(layer, _frames(layer)) for layer in found]


def _is_usable(layer: Labels) -> bool:
    channel = channel_axis(layer)
    return not mark_of(layer) and layer.ndim >= PLANE and (channel is None or layer.data.shape[channel] == 1)


def _frames(layer: Labels) -> LabelFrames:
    height, width = layer.data.shape[-PLANE:]
    return LabelFrames(layer.name, frame_shape(layer), (int(height), int(width)))


_WIDTH_PX = 460
_HINT = "Each frame of the Labels layer becomes the mask of one image; the layer itself stays as it is."
_EMPTY_TIP = (
    "A frame without any label may show no object, or nobody may have looked at it yet.\n"
    "Leave this off if it was not looked at: its image then stays without a mask.\n"
    "Tick it if the empty frames are right: a training then learns that there is no object in them."
)


class LabelsDialog(TakeDialog):
    """Shows how many frames of which layer become masks of which images, and imports them.

    Parameters
    ----------
    project, current
        The dataset, and the image that is shown.
    choices
        The layers to choose from, at least one.
    parent
        The panel, whose theme it takes.
    """

    def __init__(
        self, project: Project, current: str | None, choices: Sequence[LabelsChoice], parent: QWidget | None
    ) -> None:
        self.layer, self.target = QComboBox(), QComboBox()
        self.with_empty = QCheckBox("Also import frames without a label")
        inputs = (self.layer, self.target, self.with_empty)
        super().__init__(project, "Import masks from open layers", _HINT, inputs, parent)
        self._choices = choices
        self._stacks = find_stacks(project.images, current)
        self._values: dict[int, FrameValues] = {}  # by place in `choices`
        self._lay_out()
        self.layer.addItems([choice.frames.text for choice in choices])
        self.target.addItems([stack.text for stack in self._stacks])
        self.layer.currentIndexChanged.connect(self._on_layer)
        self.target.currentIndexChanged.connect(self._show)
        self.with_empty.toggled.connect(self._show)
        self.button.clicked.connect(self._on_import)
        self._on_layer()

    @property
    def choice(self) -> LabelsChoice:
        """The layer that is chosen."""
        return self._choices[self.layer.currentIndex()]

    @property
    def plan(self) -> FramePlan | None:
        """What would be imported; None if the layer does not fit or has not been looked through yet."""
        values = self._values.get(self.layer.currentIndex())
        if values is None or self._problem:
            return None
        stack = self._stacks[self.target.currentIndex()]
        return FramePlan(stack, values, self.with_empty.isChecked(), self.project.sparse)

    @property
    def _problem(self) -> str:
        return self._stacks[self.target.currentIndex()].misfit(self.choice.frames)

    def _lay_out(self) -> None:
        self.setMinimumWidth(_WIDTH_PX)
        self.with_empty.setToolTip(_EMPTY_TIP)
        self.target.setToolTip("The images that the layer lies over, frame by frame in their order.")
        for box in (self.layer, self.target):
            shrink(box)
        self.middle.addLayout(in_form(("Labels layer", self.layer), ("Masks for", self.target), ("", self.with_empty)))

    def _on_layer(self) -> None:
        best = best_stack(self._stacks, self.choice.frames)
        with QSignalBlocker(self.target):
            self.target.setCurrentIndex(self._stacks.index(best))
        self.layer.setToolTip(self.choice.frames.text)  # whole, for the box cuts a long name
        self._show()

    def _show(self) -> None:
        """Say what would be imported; a layer that fits is looked through for empty frames first."""
        plan, problem = self.plan, self._problem
        self.offer(len(plan.taken) if plan else 0, plan.summary if plan else problem)
        self.with_empty.setEnabled(plan is not None and not plan.are_strokes)
        if plan is None and not problem:
            self._look_through(self.layer.currentIndex())

    def _look_through(self, place: int) -> None:
        choice = self._choices[place]

        def on_end(values: FrameValues | None) -> None:
            self.end()
            if values is not None and not self.is_stopped:
                self._values[place] = values
                self._show()

        self.summary.setText(f"Looking through {choice.frames.name} …")
        self.start(
            lambda: look_through(choice.planes(), lambda: self.is_stopped),
            f"Looking through {choice.frames.name}", choice.frames.count, on_end,
        )  # fmt: skip

    def _on_import(self) -> None:
        plan, choice = self.plan, self.choice
        if plan is not None:
            planes = choice.planes([place for place, _ in plan.taken])
            self.take(take_frames(self.project, plan, choice.frames.name, planes), len(plan.taken))
