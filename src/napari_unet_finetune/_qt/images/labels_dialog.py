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
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
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
from ...project.mask_import import Imported, Taken, collect, enter_masks
from ...project.project import Project
from ..layers.frames import channel_axis, frame_shape, frames_of
from ..layers.layers import PLANE, mark_of
from ..session.worker import Work
from ..widgets.wrapped_label import WrappedLabel

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


class LabelsDialog(QDialog):
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
        super().__init__(parent)
        self.setWindowTitle("Import masks from open layers")
        self._project, self._choices = project, choices
        self._stacks = find_stacks(project.images, current)
        self._values: dict[int, FrameValues] = {}  # by place in `choices`
        self._work: Work[Any] | None = None
        self._is_stopped = False
        self.imported = Imported()
        self.layer, self.target = _box(), _box()
        self.with_empty = QCheckBox("Also import frames without a label")
        self.summary, self.progress, self.button = WrappedLabel(), QProgressBar(), QPushButton()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self._lay_out()
        self.layer.addItems([choice.frames.text for choice in choices])
        self.target.addItems([stack.text for stack in self._stacks])
        self.layer.currentIndexChanged.connect(self._on_layer)
        self.target.currentIndexChanged.connect(self._show)
        self.with_empty.toggled.connect(self._show)
        self.button.clicked.connect(self._on_import)
        self._on_layer()

    def reject(self) -> None:
        """Close; masks that are imported already stay."""
        self._is_stopped = True
        if self._work is None:
            super().reject()

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
        return FramePlan(stack, values, self.with_empty.isChecked(), self._project.sparse)

    @property
    def _problem(self) -> str:
        return self._stacks[self.target.currentIndex()].misfit(self.choice.frames)

    def _lay_out(self) -> None:
        self.setMinimumWidth(_WIDTH_PX)
        self.with_empty.setToolTip(_EMPTY_TIP)
        self.target.setToolTip("The images that the layer lies over, frame by frame in their order.")
        self.buttons.addButton(self.button, QDialogButtonBox.ButtonRole.ActionRole)
        self.buttons.rejected.connect(self.reject)
        self.progress.hide()
        hint = WrappedLabel()
        hint.setText(_HINT)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labels layer", self.layer)
        form.addRow("Masks for", self.target)
        form.addRow("", self.with_empty)
        layout = QVBoxLayout(self)
        layout.addWidget(hint)
        layout.addLayout(form)
        for widget in (self.summary, self.progress, self.buttons):
            layout.addWidget(widget)

    def _on_layer(self) -> None:
        best = best_stack(self._stacks, self.choice.frames)
        with QSignalBlocker(self.target):
            self.target.setCurrentIndex(self._stacks.index(best))
        self.layer.setToolTip(self.choice.frames.text)  # whole, for the box cuts a long name
        self._show()

    def _show(self) -> None:
        """Say what would be imported; a layer that fits is looked through for empty frames first."""
        plan, problem = self.plan, self._problem
        count = len(plan.taken) if plan else 0
        self.button.setText(f"Import {count}")
        self.button.setEnabled(count > 0)
        self.summary.setText(plan.summary if plan else problem)
        self.with_empty.setEnabled(plan is not None and not plan.are_strokes)
        if plan is None and not problem:
            self._look_through(self.layer.currentIndex())

    def _look_through(self, place: int) -> None:
        choice = self._choices[place]

        def on_end(values: FrameValues | None) -> None:
            self._end()
            if values is not None and not self._is_stopped:
                self._values[place] = values
                self._show()

        self.summary.setText(f"Looking through {choice.frames.name} …")
        self._start(
            lambda: look_through(choice.planes(), lambda: self._is_stopped),
            f"Looking through {choice.frames.name}", choice.frames.count, on_end,
        )  # fmt: skip

    def _on_import(self) -> None:
        plan, choice = self.plan, self.choice
        if plan is None:
            return
        planes = choice.planes([place for place, _ in plan.taken])

        taken = take_frames(self._project, plan, choice.frames.name, planes)
        self._start(
            lambda: collect(taken, lambda: self._is_stopped),
            f"Importing {len(plan.taken)} masks", len(plan.taken), self._on_imported,
        )  # fmt: skip

    def _start(self, events: Any, title: str, total: int, on_end: Any) -> None:
        for widget in (self.layer, self.target, self.with_empty, self.button):
            widget.setEnabled(False)
        self.progress.setRange(0, total)
        self.progress.setValue(0)
        self.progress.show()
        self._work = Work(
            events, title=title, on_event=self.progress.setValue, on_end=on_end, on_error=self._on_failed,
            on_abort=self._end,
        )  # fmt: skip

    def _end(self) -> None:
        """Let the user choose again, or close if that was asked for meanwhile."""
        self._work = None
        self.progress.hide()
        for widget in (self.layer, self.target, self.with_empty):
            widget.setEnabled(True)
        if self._is_stopped:
            super().reject()

    def _on_imported(self, taken: tuple[Taken, ...]) -> None:
        self.imported = enter_masks(self._project, taken)
        if self.imported.refused and not self._is_stopped:
            self._end()
            self._show_refused()
        else:
            self._work = None
            self.accept()

    def _on_failed(self, error: Exception) -> None:
        self._is_stopped = True
        self._end()
        raise error

    def _show_refused(self) -> None:
        self.summary.setText(self.imported.text)
        for widget in (self.layer, self.target, self.with_empty):
            widget.setEnabled(False)
        self.button.hide()
        self.buttons.setStandardButtons(QDialogButtonBox.StandardButton.Close)


def _box() -> QComboBox:
    """Return a box that a long name does not widen."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(20)
    return box
