"""Ask for a folder, after saying why one is needed."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget


def ask_for_folder(parent: QWidget, why: str, near: Path) -> Path | None:
    """Return the folder that the user chooses, None if the user does not want to; the search begins beside `near`."""
    buttons = QMessageBox.StandardButton.Ok | QMessageBox.StandardButton.Cancel
    answer = QMessageBox.question(parent, "Choose a folder", f"{why}\n\nChoose one now?", buttons)
    if answer != QMessageBox.StandardButton.Ok:
        return None
    chosen = QFileDialog.getExistingDirectory(parent, "Choose a folder", str(near.parent))
    return Path(chosen) if chosen else None
