"""What became of the files of a folder, and measuring all of them."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from ...events import ImageEnd
from ...measure.files import images_table
from ..session.dock import Panel
from ..widgets.file_dialogs import ask_for_file, may_replace
from ..widgets.layout import in_column, push_button, tipped
from .folder import FolderController

_HEIGHT_PX = 110


class FilesPanel(Panel):
    """Lists files with what became of them; a double click opens image and labels."""

    def __init__(self, files: FolderController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.files = files
        self.list = tipped(QListWidget(), "Double-click a file to open it with its labels.")
        self.measure = push_button(
            "Measure all files…", "Write one table of all objects in these labels files, and one with a row per image."
        )
        self.list.setMinimumHeight(_HEIGHT_PX)
        self.list.setMaximumHeight(_HEIGHT_PX)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setLayout(in_column(self.list, self.measure, spacing=6))
        self.list.itemDoubleClicked.connect(lambda item: self.open(self.list.row(item)))
        self.measure.clicked.connect(self._choose_table)
        self.listen(files.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is known now."""
        ends = self.files.ends
        with QSignalBlocker(self.list):
            if self.list.count() > len(ends):
                self.list.clear()
            if self.list.count() < len(ends):
                for end in ends[self.list.count() :]:
                    self.list.addItem(_item(end))
                self.list.scrollToBottom()
        self.setVisible(bool(ends))
        self.measure.setEnabled(self.files.can_measure and not self.files.is_busy)

    def open(self, row: int) -> None:
        """Open the file in a row."""
        self.files.show(self.files.ends[row])

    def _choose_table(self) -> None:
        first = self.files.measurable[0].labels.parent / "measurements.csv"
        table = ask_for_file(self, "Save measurements", first, "CSV (*.csv)")
        if table is not None and may_replace(self, images_table(table)):
            self.files.measure(table, overwrite=True)


def _item(end: ImageEnd) -> QListWidgetItem:
    if end.error is not None:
        reason = end.error.removeprefix(end.path.name).lstrip(": ")
        text, tip = f"✖  {end.path.name}: {reason}", end.error
    elif end.skipped:
        text, tip = f"○  {end.path.name}: existed already", str(end.labels)
    else:
        text, tip = f"●  {end.path.name}", str(end.labels)
    item = QListWidgetItem(text)
    item.setToolTip(tip)
    return item
