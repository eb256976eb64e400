"""Ask where to save, and before anything is lost: nothing is replaced without a question."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from ...text import count_of, place_in_words


def confirm(parent: QWidget, title: str, question: str, yes: str) -> bool:
    """Tell whether the user answers `question` with the button `yes`, and not with Cancel."""
    box = QMessageBox(QMessageBox.Icon.Question, title, question, parent=parent)
    accept = box.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    return box.clickedButton() is accept


def ask_for_folder(parent: QWidget, why: str, near: Path) -> Path | None:
    """Return the folder that the user chooses, None if the user does not want to; the search begins beside `near`."""
    buttons = QMessageBox.StandardButton.Ok | QMessageBox.StandardButton.Cancel
    answer = QMessageBox.question(parent, "Choose a folder", f"{why}\n\nChoose one now?", buttons)
    if answer != QMessageBox.StandardButton.Ok:
        return None
    chosen = QFileDialog.getExistingDirectory(parent, "Choose a folder", str(near.parent))
    return Path(chosen) if chosen else None


def ask_for_subfolder(parent: QWidget, source: Path, folders: Mapping[Path, int]) -> Path | None:
    """Return which of `folders`, told by name and number of images, the user chooses; None if none."""
    texts = {f"{folder.name} · {count_of(count, 'image')}": folder for folder, count in folders.items()}
    why = f"{place_in_words(source)} holds no images itself, but its subfolders do.\nWhich one do you want to open?"
    chosen, is_chosen = QInputDialog.getItem(parent, "Choose a subfolder", why, list(texts), 0, editable=False)
    return texts[chosen] if is_chosen else None


def ask_for_file(parent: QWidget | None, title: str, suggestion: str | Path, kinds: str) -> Path | None:
    """Return the file that the user chooses, with a suffix of `kinds`; None if the user does not want to.

    The dialog asks before a file is replaced, but it knows only the name that was typed.

    Parameters
    ----------
    parent, title
        Of the dialog.
    suggestion
        The name to begin with.
    kinds
        Of files, as Qt wants them: ``PNG (*.png);;TIFF (*.tif *.tiff)``.
    """
    name, kind = QFileDialog.getSaveFileName(parent, title, str(suggestion), kinds)
    if not name:
        return None
    path = Path(name)
    if path.suffix.lower() in _suffixes(kinds):
        return path
    path = path.with_name(path.name + _suffixes(kind or kinds)[0])
    return path if may_replace(parent, path) else None


def may_replace(parent: QWidget | None, path: Path) -> bool:
    """Tell whether `path` can be written: it is not there, or the user wants it replaced."""
    if not path.exists():
        return True
    answer = QMessageBox.question(parent, "Replace the file?", f"{path.name} is there already. Replace it?")
    return bool(answer == QMessageBox.StandardButton.Yes)


def _suffixes(kinds: str) -> list[str]:
    return re.findall(r"\*(\.\w+)", kinds)
