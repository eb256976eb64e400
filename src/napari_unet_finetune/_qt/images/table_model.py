"""The images of a dataset as a table model: one row per image, sortable, filterable, with an editable role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from math import prod
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtGui import QFont, QPixmap

from ...project.image import mask_text
from ...project.project import ROLES, ProjectImage, Role
from ...text import percent

Index = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()
SUGGESTED = "★"
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class Column(IntEnum):
    """What the table shows."""

    IMAGE = 0
    SIZE = 1
    MASK = 2
    FOREGROUND = 3
    ROLE = 4
    DICE = 5


_TITLES = ("Image", "Size", "Mask", "Object", "Use", "Dice")
_TITLE_TIPS = (
    f"Name and size of the image; {SUGGESTED} marks those to annotate next.",
    "Height × width in pixels.",
    "○ no mask, ◐ not saved yet, ◌ predicted, not looked at, ● annotated; below, how it came about, share of object.",
    "Share of object pixels among those annotated.",
    "auto: train or validation, decided when the training starts. Click to change it, for all selected rows at once.",
    "Dice of the last prediction that was scored on this image; 1 is perfect.",
)
# Only the one that is asked for is made: to sort 100,000 rows takes millions of them.
_SORT_KEYS: dict[Column, Callable[[ProjectImage], Any]] = {
    Column.SIZE: lambda image: (prod(image.size or (0, 0)), image.size or (0, 0)),
    Column.MASK: lambda image: (image.is_annotated, image.is_predicted, image.objects or 0, image.foreground or 0.0),
    Column.FOREGROUND: lambda image: -1.0 if image.foreground is None else image.foreground,
    Column.ROLE: lambda image: (image.is_annotated, ROLES.index(image.role)),
    Column.DICE: lambda image: -1.0 if image.dice is None else image.dice,
}
ROLE_TIPS: dict[Role, str] = {
    "auto": "Train on it, or hold it out to choose the best weights: the program decides.",
    "train": "Always train on it.",
    "validation": "Hold it out to choose the best weights.",
    "test": "Never train on it: only for the final score.",
    "unused": "Leave it out of everything.",
}


class ImageTableModel(QAbstractTableModel):
    """Rows of `ProjectImage`.

    Parameters
    ----------
    set_role
        Called with a name and a role when the user chooses one.
    """

    def __init__(self, set_role: Callable[[Sequence[str], Role], object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._set_role = set_role
        self._images: tuple[ProjectImage, ...] = ()
        self._rows: dict[str, int] = {}
        self._unsaved: str | None = None
        self._current: str | None = None
        self.thumbnail: Callable[[str], QPixmap | None] = lambda _name: None

    def show(self, images: Sequence[ProjectImage], *, unsaved: str | None, current: str | None) -> None:
        """Show `images`; rows of images that were there before stay where they are."""
        rows = {image.name: row for row, image in enumerate(images)}
        if rows != self._rows:
            self.beginResetModel()
            self._rows, self._images, self._unsaved, self._current = rows, tuple(images), unsaved, current
            self.endResetModel()
            return
        marked = {self._unsaved, unsaved} if unsaved != self._unsaved else set()
        marked |= {self._current, current} if current != self._current else set()
        both = enumerate(zip(self._images, images, strict=True))
        changed = [row for row, (old, new) in both if old is not new and old != new]  # to compare thousands takes long
        changed += [rows[name] for name in marked if name in rows]
        self._images, self._unsaved, self._current = tuple(images), unsaved, current
        for row in sorted(set(changed)):  # each alone, for the sorting looks at all that is said to have changed
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(Column) - 1))

    def image_at(self, row: int) -> ProjectImage:
        """Return the image in `row`."""
        return self._images[row]

    def row_of(self, name: str) -> int | None:
        """Return the row of an image, None if it is not there."""
        return self._rows.get(name)

    def refresh_thumbnail(self, name: str) -> None:
        """Draw the picture of an image that has become ready."""
        row = self.row_of(name)
        if row is not None:
            index = self.index(row, Column.IMAGE)
            self.dataChanged.emit(index, index, [Qt.ItemDataRole.DecorationRole])

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        """Return the number of images."""
        return 0 if parent.isValid() else len(self._images)

    def columnCount(self, parent: Index = _NOWHERE) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the title of a column and what it means."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return _TITLES[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                return _TITLE_TIPS[section]
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Let roles be edited."""
        flags = super().flags(QModelIndex(index))
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == Column.ROLE else flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        image, column = self._images[index.row()], Column(index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(image, column)
        if role == Qt.ItemDataRole.EditRole:
            return image.role if column == Column.ROLE else None
        if role == Qt.ItemDataRole.DecorationRole:
            return self.thumbnail(image.name) if column == Column.IMAGE else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(image, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column in (Column.SIZE, Column.FOREGROUND, Column.DICE) else None
        if role == Qt.ItemDataRole.FontRole and image.name == self._current:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Set the role of an image."""
        if role != Qt.ItemDataRole.EditRole or index.column() != Column.ROLE or value not in ROLES:
            return False
        self._set_role([self._images[index.row()].name], value)
        return True

    def sort_key(self, row: int, column: Column) -> Any:
        """Return what rows are sorted by in `column`; the images come in the natural order of their names."""
        return row if column == Column.IMAGE else _SORT_KEYS[column](self._images[row])

    def _text(self, image: ProjectImage, column: Column) -> str:
        if column == Column.IMAGE:
            name = f"{SUGGESTED} {image.name}" if image.suggested else image.name
            return f"{name}\n{_size(image)}"
        if column == Column.SIZE:
            return _size(image)
        if column == Column.MASK:
            return "◐ painting" if image.name == self._unsaved else mask_text(image)
        if column == Column.FOREGROUND:
            return "" if image.foreground is None else percent(image.foreground)
        if column == Column.ROLE:
            return "–" if image.role == "auto" and not image.is_annotated else image.role
        return "" if image.dice is None else f"{image.dice:.2f}"


class ImageFilter(QSortFilterProxyModel):
    """The rows in the order and with the filter that the user chose."""

    def __init__(self, model: ImageTableModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._words = ""
        self._annotated_only = False
        self.setSourceModel(model)

    def show_only(self, words: str, *, annotated_only: bool) -> None:
        """Show images whose names hold `words`, and with `annotated_only` just those with a mask."""
        self._words, self._annotated_only = words.strip().casefold(), annotated_only
        self.invalidate()

    def image_at(self, index: Index) -> ProjectImage:
        """Return the image in the row of `index`."""
        return self._model.image_at(self.mapToSource(QModelIndex(index)).row())

    def names(self) -> list[str]:
        """Return the names of the images that are shown, in the order shown."""
        return [self.image_at(self.index(row, 0)).name for row in range(self.rowCount())]

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:  # noqa: ARG002 - Qt's name
        """Tell whether a row is shown."""
        image = self._model.image_at(source_row)
        return (image.is_annotated or not self._annotated_only) and self._words in image.name.casefold()

    def lessThan(self, left: Index, right: Index) -> bool:
        """Compare two rows by what they stand for, not by their text."""
        column = Column(left.column())
        return bool(self._model.sort_key(left.row(), column) < self._model.sort_key(right.row(), column))


def _size(image: ProjectImage) -> str:
    return f"{image.size[0]}×{image.size[1]}" if image.size else ""


def _tip(image: ProjectImage, column: Column) -> str | None:
    if column == Column.ROLE:
        return ROLE_TIPS[image.role]
    if column == Column.MASK:
        return str(image.mask) if image.mask else "Not annotated yet."
    if column == Column.IMAGE:
        frame = "" if image.ref.frame is None else f", frame {image.ref.frame}"
        reason = f"\nSuggested to annotate next: {image.suggested}" if image.suggested else ""
        return f"{image.ref.path}{frame}{reason}"
    return None
