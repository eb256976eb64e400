"""The section "Questions": one click each, answered in plain words with the numbers behind them."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QTimer, QUrl, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from ...errors import RunError
from ...jobs.answers import KeptAnswer
from ...project.question_plan import QUESTIONS, Question
from ...result import Offer
from ..annotate.annotation import annotation_of
from ..predict.controller import predict_controller_of
from ..session.dock import Panel
from ..session.session import Session, tells_errors
from ..widgets.file_dialogs import ask_for_file
from ..widgets.layout import in_column, in_row, push_button
from ..widgets.wrapped_label import WrappedLabel
from .answer_view import AnswerView
from .controller import QuestionsController
from .error_map import ErrorMap
from .texts import TEXTS

_CLOSED, _OPEN = "▶ Answer", "▼ Answer"


class QuestionsPanel(Panel):
    """Asks, and shows the last answer to each question below its button, one at a time."""

    rescale_requested = Signal(float)
    penalty_requested = Signal(float)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self.asking = session, session.shared(QuestionsController)
        self.errors, self.view = ErrorMap(session), AnswerView()
        self.shown: Question | None = None
        self.rows = {question: QuestionRow(TEXTS[question].title, TEXTS[question].tip) for question in QUESTIONS}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 4, 0, 4)
        self._layout.setSpacing(6)
        for question, row in self.rows.items():
            self._layout.addWidget(row)
            row.button.clicked.connect(lambda _checked, question=question: self.ask(question))
            row.answer.clicked.connect(
                lambda checked, question=question: self.show_answer(question if checked else None)
            )
        self.view.row_clicked.connect(self._on_row)
        self.view.offer_taken.connect(self._on_offer)
        self.listen(self.asking.changed, self.refresh)
        self.listen(self.asking.answered, self._on_answered)
        self.keep(self.errors)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._scroll)
        self.at_release(self._soon.stop)
        self.refresh()

    def ask(self, question: Question) -> None:
        """Ask; where to write a report, the user is asked first."""
        out = None
        if question == "report":
            out = self._choose_file()
            if out is None:
                return
        self.asking.ask(question, out)

    def show_answer(self, question: Question | None) -> None:
        """Show the last answer to a question below it, or none."""
        self.shown = question if question in self.asking.answers else None
        self.errors.clear()
        self._layout.removeWidget(self.view)
        if self.shown is not None:
            self._layout.insertWidget(self._layout.indexOf(self.rows[self.shown]) + 1, self.view)
        self.view.set_answer(self.asking.answers[self.shown] if self.shown is not None else None)
        self.refresh()

    def refresh(self) -> None:
        """Show which questions can be asked, what they take, and which have an answer."""
        if self.shown is not None and self.shown not in self.asking.answers:
            self.show_answer(None)  # that of another dataset
            return
        for question, row in self.rows.items():
            problem = self.asking.problem(question)
            row.button.setEnabled(not problem)
            row.cost.setText(problem or self.asking.cost(question))
            row.answer.setVisible(question in self.asking.answers)
            row.answer.setChecked(question == self.shown)
            row.answer.setText(_OPEN if question == self.shown else _CLOSED)

    def _on_answered(self, kept: KeptAnswer) -> None:
        """Show a new answer, with its question at the top."""
        self.show_answer(kept.asked.question)
        self._soon.start(0)

    def _scroll(self) -> None:
        """Bring the answer that is shown into view, now that its height is known."""
        area = self.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        bar = area.verticalScrollBar() if area is not None else None
        if bar is not None and self.shown is not None:
            bar.setValue(self.rows[self.shown].y())

    @tells_errors
    def _on_row(self, row: int) -> None:
        """Show the image of a row, and where the model was wrong on it if that is known."""
        kept = self.asking.answers[self.shown] if self.shown is not None else None
        name = self.asking.image_of(kept, row) if kept is not None else ""
        if kept is None or not name:
            return
        errors = kept.map_of(name)
        if errors is None:
            annotation_of(self.session).open(name)
            return
        self.errors.show(name, errors)

    @tells_errors
    def _on_offer(self, offer: Offer) -> None:
        kept = self.asking.answers[self.shown] if self.shown is not None else None
        if kept is None:
            return
        match offer.kind:
            case "rescale":
                self.rescale_requested.emit(offer.value)
            case "penalty":
                self.penalty_requested.emit(offer.value)
            case "threshold":
                self._use_threshold(kept, offer.value)
            case "open":
                _open(offer.value)

    def _use_threshold(self, kept: KeptAnswer, threshold: float) -> None:
        predict_controller_of(self.session).set_threshold(kept.asked.model, threshold)
        name = kept.asked.model_name
        self.session.tell(f"Predictions of {name} use the threshold {threshold:.2f} from now on, until you change it.")

    def _choose_file(self) -> Path | None:
        newest = self.session.history.newest
        if newest is None:
            return None
        return ask_for_file(self, "Write the report", newest[0] / "report.html", "Web page (*.html)")


class QuestionRow(QWidget):
    """A question as a button, what it takes below it, and a button that shows the last answer."""

    def __init__(self, title: str, tip: str) -> None:
        super().__init__()
        self.button, self.cost = push_button(title, tip), WrappedLabel()
        self.answer = push_button(_CLOSED, "Show the last answer, or hide it.")
        self.answer.setCheckable(True)
        self.answer.setVisible(False)
        font = self.cost.font()
        font.setPointSizeF(0.9 * font.pointSizeF())
        self.cost.setFont(font)
        self.setLayout(in_column(in_row(self.button, self.answer, stretch=self.button), self.cost, spacing=2))


def _open(page: Path) -> None:
    if not page.is_file():
        raise RunError(f"{page}: the report is no longer there. Write it again.")
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(page))):
        raise RunError(f"{page}: no program opens web pages here. Open the file yourself.")
