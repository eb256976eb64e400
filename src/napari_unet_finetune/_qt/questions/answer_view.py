"""Shows an answer: the headline, the sentences, the numbers behind them, and buttons for what can be done."""

from __future__ import annotations

import html

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...colors import ERRORS
from ...jobs.answers import KeptAnswer
from ...result import LONG_TEXT, Offer, ResultTable
from ..widgets.layout import push_button
from ..widgets.message_line import MessageLine
from ..widgets.wrapped_label import WrappedLabel

_TALLEST_PX = 280
_WIDEST_PX = 150
_ROOM_PX = 4
_TIPS = {
    "rescale": "Put this factor into the settings of section Finetune.",
    "threshold": "Predict with this threshold from now on; the slider in the Predict dock follows.",
    "penalty": "Put this penalty on false positives into the settings of section Finetune.",
    "open": "Open the page in your browser.",
}
_LEGEND = "<br>".join(
    f"<span style='color: {color}'>■</span> {html.escape(meaning)}" for color, meaning in ERRORS.items()
)


class AnswerView(QWidget):
    """Shows one answer at a time; `row_clicked` tells the number of a row that is about an image."""

    row_clicked = Signal(int)
    offer_taken = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.source, self.headline, self.words = WrappedLabel(), MessageLine(), WrappedLabel()
        self.table, self.hint = AnswerTable(), WrappedLabel()
        self.buttons: list[QPushButton] = []
        self._offers = QHBoxLayout()
        self.table.cellClicked.connect(lambda row, _column: self.row_clicked.emit(row))
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 2, 0, 8)
        column.setSpacing(5)
        column.addWidget(self.headline)
        column.addWidget(self.words)
        column.addLayout(self._offers)
        for widget in (self.table, self.hint, self.source):
            column.addWidget(widget)
        self.setVisible(False)

    def set_answer(self, kept: KeptAnswer | None) -> None:
        """Show an answer, or nothing."""
        self.setVisible(kept is not None)
        if kept is None:
            return
        result = kept.result
        self.source.setText(kept.source)
        self.headline.say(result.headline, "warning" if result.is_warning else "info")
        self.words.setText(_paragraphs(result.sentences))
        self.words.setVisible(bool(result.sentences))
        self._show_offers(result.offers)
        table = result.table
        self.table.setVisible(table is not None and bool(table.rows))
        if table is not None:
            self.table.set_table(table)
        self.hint.setText(_hint(kept))
        self.hint.setVisible(bool(self.hint.text()))

    def _show_offers(self, offers: tuple[Offer, ...]) -> None:
        for button in self.buttons:
            self._offers.removeWidget(button)
            button.deleteLater()
        self.buttons = [push_button(offer.text, _TIPS[offer.kind]) for offer in offers]
        for button, offer in zip(self.buttons, offers, strict=True):
            button.clicked.connect(lambda _checked, offer=offer: self.offer_taken.emit(offer))
            self._offers.addWidget(button)


class AnswerTable(QTableWidget):
    """A few rows of text, as high as they need; those about an image can be clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        if (rows := self.verticalHeader()) is not None:
            rows.setVisible(False)

    def set_table(self, table: ResultTable) -> None:
        """Show other rows."""
        self.clear()
        self.setColumnCount(len(table.columns))
        self.setRowCount(len(table.rows))
        self.setHorizontalHeaderLabels(list(table.columns))
        has_images = table.of_images
        mode = QAbstractItemView.SelectionMode
        self.setSelectionMode(mode.SingleSelection if has_images else mode.NoSelection)
        self.setCursor(Qt.CursorShape.PointingHandCursor if has_images else Qt.CursorShape.ArrowCursor)
        longest = [max(map(len, cells), default=0) for cells in zip(*table.rows, strict=True)]
        stretched = longest.index(max(longest)) if max(longest, default=0) > LONG_TEXT else 0
        for row, cells in enumerate(table.rows):
            for place, text in enumerate(cells):
                self.setItem(row, place, _item(text, is_text=place in (0, stretched)))
        if (header := self.horizontalHeader()) is not None:
            header.setMaximumSectionSize(_WIDEST_PX)
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
        self._fit()

    def sizeHint(self) -> QSize:
        """Return the height of all rows, up to a limit."""
        header = self.horizontalHeader()
        rows = sum(self.rowHeight(row) for row in range(self.rowCount()))
        height = rows + (header.sizeHint().height() if header else 0) + 2 * self.frameWidth()
        return QSize(super().sizeHint().width(), min(height, _TALLEST_PX))

    def minimumSizeHint(self) -> QSize:
        """Return the same height."""
        return QSize(0, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Wrap the texts anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.resizeRowsToContents()
        for row in range(self.rowCount()):
            if self.rowHeight(row) > self.fontMetrics().height() * 2:  # of several lines
                self.setRowHeight(row, self.rowHeight(row) + _ROOM_PX)
        self.updateGeometry()


def _item(text: str, *, is_text: bool) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    side = Qt.AlignmentFlag.AlignLeft if is_text else Qt.AlignmentFlag.AlignRight
    item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
    item.setToolTip(f"<qt>{html.escape(text)}</qt>")
    return item


def _paragraphs(sentences: tuple[str, ...]) -> str:
    """Return sentences as a list, a single one as plain text."""
    if len(sentences) == 1:
        return html.escape(sentences[0])
    points = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f"<ul style='margin-left: -24px'>{points}</ul>"


def _hint(kept: KeptAnswer) -> str:
    """Say what a click on a row does, and what else is to be known of the table."""
    table = kept.result.table
    if table is None or not table.of_images:
        return html.escape(table.note) if table is not None else ""
    match kept.asked.question:
        case "estimate":
            return f"Click an image to see where:<br>{_LEGEND}"
        case "suggest":
            return "They are marked ★ in section Images. Click one to open it."
        case _:
            return "Click an image to open it."
