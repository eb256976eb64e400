"""A box for a folder or file, with a button to choose it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QLineEdit, QWidget

from .layout import in_row, push_button, tipped


class PathBox(QWidget):
    """A path, or nothing; the hint says what nothing means."""

    changed = Signal()

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self.edit, self.button = tipped(QLineEdit(), title), push_button("…", title)
        self.edit.setClearButtonEnabled(True)
        self.button.setAccessibleName(title)
        self.button.setFixedWidth(32)
        self.setLayout(in_row(self.edit, self.button, stretch=self.edit))
        self.edit.textChanged.connect(lambda _: self.changed.emit())
        self.button.clicked.connect(self._choose)

    def value(self) -> Path | None:
        """Return the path that was chosen, None if there is none."""
        text = self.edit.text().strip()
        return Path(text).expanduser() if text else None

    def set_value(self, path: Path | None) -> None:
        """Put a path into the box."""
        self.edit.setText("" if path is None else str(path))

    def set_hint(self, text: str) -> None:
        """Show what an empty box means."""
        self.edit.setPlaceholderText(text)

    def _choose(self) -> None:
        path = QFileDialog.getExistingDirectory(self, self._title, self.edit.text())
        if path:
            self.set_value(Path(path))
