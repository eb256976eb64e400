"""The table models × images: one score at a time, means on top, and the worst image of each model marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QFont, QPainter, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QCheckBox, QHeaderView, QLabel, QTableView, QVBoxLayout, QWidget

from ...colors import GRAY
from ...config import SURFACE_TOLERANCE_PX
from ...evaluation.rows import is_pooled, score_over
from ...events import ImageCompared
from ...io.images import natural_key
from ...metrics import MATCH_IOUS, OBJECT_SCORES, object_score
from ...text import number
from ..widgets.editors import ChoiceBox
from ..widgets.layout import tipped
from .controller import CompareController
from .models import ModelColumn

_ROWS_SHOWN = 6
_ROW_PX = 24


class ScoreView(QWidget):
    """Shows `ScoreTable`; `cell_chosen` is emitted with an image and a model."""

    cell_chosen = Signal(str, str)

    def __init__(self, comparing: CompareController) -> None:
        super().__init__()
        self._comparing = comparing
        self.table = ScoreTable(comparing, self)
        self.view = QTableView()
        self.score = ChoiceBox([(title, key) for key, (title, _) in SCORES.items()])
        self.key = QLabel(KEY)
        self.split = tipped(
            QCheckBox("Split touching objects"),
            "Cut objects that touch in a prediction apart at their necks, as in Predict; else they count as one.",
        )
        self._shown = ("", "")
        self._set_up()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.view, stretch=1)
        layout.addWidget(self.key)
        layout.addWidget(self.split)
        self.split.toggled.connect(comparing.set_split)
        self.score.changed.connect(lambda: self._refresh(self.table.set_score, self.score.value()))
        self.view.clicked.connect(self._on_clicked)
        self.view.activated.connect(self._on_clicked)
        header = self.view.horizontalHeader()
        assert header is not None
        header.sectionClicked.connect(self._on_header_clicked)

    def refresh(self) -> None:
        """Show the scores anew."""
        self._refresh()

    def mark(self, image: str, label: str) -> None:
        """Mark the cell that is shown in the viewer."""
        self._shown = (image, label)
        place = self.table.place_of(image, label)
        if place.isValid():
            self.view.setCurrentIndex(place)
        else:
            self.view.clearSelection()

    def _set_up(self) -> None:
        for key, (_, tip) in SCORES.items():
            self.score.setItemData(self.score.findData(key), tip, Qt.ItemDataRole.ToolTipRole)
        self.score.setToolTip("Which score the table shows.")
        self.key.setWordWrap(True)
        self.key.setSizePolicy(self.key.sizePolicy().Policy.Ignored, self.key.sizePolicy().Policy.Preferred)
        view = self.view
        view.setModel(self.table)
        view.setAccessibleName("Scores of models on images")
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.setTabKeyNavigation(False)
        view.setMinimumHeight(_ROWS_SHOWN * _ROW_PX)
        rows, columns = view.verticalHeader(), view.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.setDefaultSectionSize(_ROW_PX)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        columns.setSectionsClickable(True)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setMinimumSectionSize(52)
        view.setCornerButtonEnabled(False)

    def _refresh(self, change: object = None, *arguments: object) -> None:
        if callable(change):
            change(*arguments)
        else:
            self.table.refresh()
        self.key.setVisible(self.table.rowCount() > 0)
        about_masks = self._comparing.note_on_masks(self._comparing.images)
        self.key.setText("\n".join(filter(None, (KEY, self.table.note, about_masks))))
        with QSignalBlocker(self.split):
            self.split.setChecked(self._comparing.split)
        self.split.setVisible(self.table.score in OBJECT_SCORES and not self.table.note)
        self.mark(*self._shown)

    def _on_clicked(self, index: QModelIndex) -> None:
        name, column = self.table.at(index)
        if name is not None:
            self.cell_chosen.emit(name, column.label)

    def _on_header_clicked(self, section: int) -> None:
        _, column = self.table.at(self.table.index(0, section))
        label = None if self.table.sorted_by == column.label else column.label
        self._refresh(self.table.sort_by, label)


Index = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()
SCORES = {
    "dice": ("Dice", "Twice the shared area divided by the sum of both areas; 1 is perfect."),
    "iou": ("IoU", "Shared area divided by the area of both together; 1 is perfect."),
    "surface_dice": (
        "Surface Dice",
        f"Share of the outlines that lie within {SURFACE_TOLERANCE_PX:g} px of each other; 1 is perfect.",
    ),
    "area_ratio": (
        "Area ratio",
        "Predicted divided by true area: above 1, too much is predicted; below 1, too little.",
    ),
    "precision": (
        "Precision of objects",
        f"Share of the predicted objects that match a true one, which they do at an IoU of {MATCH_IOUS[0]:g} or more.",
    ),
    "recall": (
        "Recall of objects",
        f"Share of the true objects that match a predicted one, which they do at an IoU of {MATCH_IOUS[0]:g} or more.",
    ),
    "f1": (
        "F1 of objects",
        "Twice the matching objects divided by the sum of predicted and true ones; 1 is perfect.",
    ),
    "ap": (
        "AP of objects",
        f"Mean of TP / (TP + FP + FN) of objects that match at an IoU of {MATCH_IOUS[0]:g} to {MATCH_IOUS[-1]:g}.",
    ),
    "count_ratio": (
        "Count ratio",
        "Predicted divided by true number of objects: above 1, there are too many; below 1, too few.",
    ),
}
RATIOS = ("area_ratio", "count_ratio")  # the best is 1, and not the most
WORST, SEEN, HELD_OUT, ACCEPTED, FAILED, PENDING, UNSCORED = "▼", "°", "◦", "≈", "✖", "…", "–"
_MEANINGS = (
    (WORST, "worst image of a model"), (SEEN, "trained on this image"), (HELD_OUT, "held out of its training"),
    (ACCEPTED, "mask accepted from a model"), (FAILED, "failed"), (UNSCORED, "no score"),
)  # fmt: skip
# Each sign stays on a line with its meaning.
KEY = "   ".join(f"{sign} {meaning}".replace(" ", "\N{NO-BREAK SPACE}") for sign, meaning in _MEANINGS)
_MEAN, _TOGETHER = "mean", "together"
_SORT_TIP = "Click to see its worst images first; click again for the order of the dataset."
_LONGEST_NAME = 18
_SWATCH_PX = 10
_CENTER = Qt.AlignmentFlag.AlignCenter


class ScoreTable(QAbstractTableModel):
    """Rows of images under a row of means, columns of models."""

    def __init__(self, comparing: CompareController, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._comparing = comparing
        self.score = "dice"
        self.sorted_by: str | None = None  # label of a model; None is the order of the dataset
        self._images: list[str] = []
        self._worst: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the scores anew."""
        self.beginResetModel()
        self._images = self._in_order()
        self._worst = {column.label: name for column in self._columns if (name := self._worst_of(column.label))}
        self.endResetModel()

    def set_score(self, score: str) -> None:
        """Show another score, named as in `SCORES`."""
        self.score = score
        self.refresh()

    def sort_by(self, label: str | None) -> None:
        """Put the worst images of a model first; None brings back the order of the dataset."""
        self.sorted_by = label
        self.refresh()

    def place_of(self, image: str, label: str) -> QModelIndex:
        """Return where a cell stands; nowhere if there is none."""
        labels = [column.label for column in self._columns]
        if image not in self._images or label not in labels:
            return QModelIndex()
        return self.index(self._images.index(image) + 1, labels.index(label))

    def at(self, index: Index) -> tuple[str | None, ModelColumn]:
        """Return name and model of a cell; the row of means has no name."""
        return (self._images[index.row() - 1] if index.row() else None), self._columns[index.column()]

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        """Return the number of images and one for the means."""
        return 0 if parent.isValid() or not self._images else len(self._images) + 1

    def columnCount(self, parent: Index = _NOWHERE) -> int:
        """Return the number of models."""
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        name, column = self.at(index)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._mean_text(column.label) if name is None else self._text(name, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _CENTER
        if role == Qt.ItemDataRole.FontRole and (name is None or self._worst.get(column.label) == name):
            font = QFont()
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(name, column)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return names of images, and labels of models with their colors."""
        if orientation == Qt.Orientation.Vertical:
            name = self._images[section - 1] if section else _TOGETHER if is_pooled(self.score) else _MEAN
            return {Qt.ItemDataRole.DisplayRole: _short(name), Qt.ItemDataRole.ToolTipRole: name}.get(
                Qt.ItemDataRole(role)
            )
        column = self._columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{_header(column)} {WORST}" if self.sorted_by == column.label else _header(column)
        if role == Qt.ItemDataRole.DecorationRole:
            return swatch(column.color)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{column.title}\n{column.entry.tip}\n\n{_SORT_TIP}"
        return None

    @property
    def note(self) -> str:
        """Why there are no scores of objects where these are wanted; empty if there are some."""
        cells = [cell for cell in self._comparing.cells.values() if cell.dice is not None]
        if self.score not in OBJECT_SCORES or not cells:
            return ""
        return "" if object_score(cells, self.score) is not None else _no_objects(cells)

    @property
    def _digits(self) -> int:
        """As many as every other table shows."""
        return 2 if self.score in RATIOS else 3

    @property
    def _columns(self) -> tuple[ModelColumn, ...]:
        return self._comparing.columns

    def _value(self, label: str, name: str) -> float | None:
        cell = self._comparing.cell(label, name)
        return None if cell is None else score_over([cell], self.score)

    def _in_order(self) -> list[str]:
        names = sorted(self._comparing.images, key=natural_key)
        if self.sorted_by is None:
            return names
        badness = self._badness
        label = self.sorted_by
        return sorted(names, key=lambda name: -badness(self._value(label, name)))

    def _badness(self, value: float | None) -> float:
        """Return how bad a score is; nothing is better than an image without one."""
        if value is None:
            return -math.inf
        if self.score in RATIOS:
            return abs(math.log(max(value, 1e-9)))
        return -value

    def _worst_of(self, label: str) -> str | None:
        """Return the image that a model does worst on, None while there are not two to compare."""
        scored = [name for name in self._images if self._value(label, name) is not None]
        return max(scored, key=lambda name: self._badness(self._value(label, name))) if len(scored) > 1 else None

    def _mean_text(self, label: str) -> str:
        cells = [cell for name in self._images if (cell := self._comparing.cell(label, name)) is not None]
        mean = score_over(cells, self.score)
        return "" if mean is None else number(mean, self._digits)

    def _text(self, name: str, column: ModelColumn) -> str:
        cell = self._comparing.cell(column.label, name)
        if cell is None:
            return PENDING
        if cell.error is not None:
            return FAILED
        value = self._value(column.label, name)
        shown = number(value, self._digits)
        before = f"{WORST} " if self._worst.get(column.label) == name else ""
        accepted = ACCEPTED if value is not None and self._comparing.note_on_masks([name]) else ""
        return " ".join(filter(None, (f"{before}{shown}", _sign(name, column), accepted)))

    def _tip(self, name: str | None, column: ModelColumn) -> str:
        if name is None:
            if self.score == "area_ratio":
                return f"All that {column.label} predicts in the images below over all that is true"
            if self.score in OBJECT_SCORES:
                return f"Of all objects in the images below, as {column.label} predicts them"
            return f"Mean of {column.label} over the images below"
        cell = self._comparing.cell(column.label, name)
        lines = [f"{column.label} on {name}"]
        if cell is None:
            lines.append("Not predicted yet.")
        elif cell.error is not None:
            lines.append(cell.error)
        else:
            lines += _scores(cell)
        if _sign(name, column) == SEEN:
            lines.append("This model was trained on this image, so its score is too good.")
        lines += filter(None, [self._comparing.note_on_masks([name])])
        if _sign(name, column) == HELD_OUT:
            lines.append("Held out of its training: it chose between weights, so its score is a little too good.")
        return "\n".join(lines)


def swatch(color: str | None) -> QPixmap:
    """Return a disk of `color`, a small gray one for None."""
    pixmap = QPixmap(_SWATCH_PX, _SWATCH_PX)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color or GRAY))
    margin = 0 if color else _SWATCH_PX // 3
    painter.drawEllipse(margin, margin, _SWATCH_PX - 2 * margin, _SWATCH_PX - 2 * margin)
    painter.end()
    return pixmap


def _scores(cell: ImageCompared) -> list[str]:
    if cell.dice is None:
        return ["The image has no mask, so it cannot be scored."]
    shown = {key: title for key, (title, _) in SCORES.items() if cell.matches is not None or key not in OBJECT_SCORES}
    lines = [f"{title}: {number(score_over([cell], key))}" for key, title in shown.items()]
    if cell.matches is not None:
        return [*lines, f"Objects: {cell.predicted_objects} predicted, {cell.true_objects} true"]
    return [*lines, _no_objects([cell])]


def _no_objects(cells: Sequence[ImageCompared]) -> str:
    reasons = dict.fromkeys(cell.no_object_scores for cell in cells if cell.no_object_scores)
    return f"No scores of objects: {', '.join(reasons) or 'compare again to have them'}."


def _sign(name: str, column: ModelColumn) -> str:
    """Return what stands beside the score of a model on an image that its training knew."""
    known = column.training.known
    return SEEN if name in known.trained else HELD_OUT if name in known.held_out else ""


def _header(column: ModelColumn) -> str:
    """Return the name of a model in short lines, so that several fit into a narrow dock."""
    lines = [*column.label.split(", "), *filter(None, (column.tag,))]
    return "\n".join(map(_short, lines))


def _short(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[: half - 1]}…{name[-half:]}"
