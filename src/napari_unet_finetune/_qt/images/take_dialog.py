"""What the dialogs that import masks share: the work in the background, how far it is, and what was refused."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QProgressBar, QVBoxLayout, QWidget

from ...project.mask_import import Imported, Taken, collect, enter_masks
from ...project.project import Project
from ..session.worker import Work
from ..widgets.layout import push_button
from ..widgets.wrapped_label import WrappedLabel


class TakeDialog(QDialog):
    """Imports masks at a click on its button, and closes when all were taken.

    Parameters
    ----------
    project
        The dataset.
    title, hint
        What is imported, and how.
    inputs
        What the user decides with; they are off while masks are taken.
    parent
        The panel, whose theme it takes.
    """

    def __init__(
        self, project: Project, title: str, hint: str, inputs: Iterable[QWidget], parent: QWidget | None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.project, self.imported = project, Imported()
        self.is_stopped = False
        self._work: Work[Any] | None = None
        self._inputs = tuple(inputs)
        self.summary, self.progress = WrappedLabel(), QProgressBar()
        self.button = push_button("", "Take these masks into the dataset.")
        self.progress.hide()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.addButton(self.button, QDialogButtonBox.ButtonRole.ActionRole)
        self.buttons.rejected.connect(self.reject)
        about = WrappedLabel()
        about.setText(hint)
        self.middle = QVBoxLayout()
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addLayout(self.middle, stretch=1)
        for widget in (self.summary, self.progress, self.buttons):
            layout.addWidget(widget)

    def reject(self) -> None:
        """Close, once the mask in work is taken; masks that are imported already stay."""
        self.is_stopped = True
        if self._work is None:
            super().reject()

    def offer(self, count: int, summary: str) -> None:
        """Say what would be imported."""
        self.summary.setText(summary)
        self.button.setText(f"Import {count}")
        self.button.setEnabled(count > 0)

    def take(self, masks: Iterable[Taken], count: int) -> None:
        """Take `count` masks, which are written as they are asked for."""
        self.start(lambda: collect(masks, lambda: self.is_stopped), f"Importing {count} masks", count, self._on_taken)

    def start(
        self, events: Callable[[], Generator[int, None, Any]], title: str, total: int, on_end: Callable[[Any], object]
    ) -> None:
        """Work in the background; `events` tells how much of `total` is done."""
        for widget in (*self._inputs, self.button):
            widget.setEnabled(False)
        self.progress.setRange(0, total)
        self.progress.setValue(0)
        self.progress.show()
        self._work = Work(
            events, title=title, on_event=self.progress.setValue, on_end=on_end, on_error=self._on_failed,
            on_abort=self.end,
        )  # fmt: skip

    def end(self) -> None:
        """Let the user choose again, or close if that was asked for meanwhile."""
        self._work = None
        self.progress.hide()
        for widget in self._inputs:
            widget.setEnabled(True)
        if self.is_stopped:
            super().reject()

    def refused_before(self) -> tuple[str, ...]:
        """Return what was refused before masks were taken."""
        return ()

    def _on_taken(self, taken: tuple[Taken, ...]) -> None:
        self._work = None
        imported = enter_masks(self.project, taken)
        self.imported = Imported(imported.names, (*self.refused_before(), *imported.refused))
        if self.imported.refused and not self.is_stopped:
            self.summary.setText(self.imported.text)
            self.progress.hide()
            self.button.hide()
            self.buttons.setStandardButtons(QDialogButtonBox.StandardButton.Close)
        else:
            self.accept()

    def _on_failed(self, error: Exception) -> None:
        self.is_stopped = True
        self.end()
        raise error
