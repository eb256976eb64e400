"""A question from the click to its answer: a job is asked for, and what came of it is kept and put into words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from psygnal import Signal
from pydantic import BaseModel

from ...config import TRIAL_STEPS, FinetuneConfig, PresetName
from ...data.split import units_of
from ...errors import FinetuneError, RunError
from ...io.regions.region import without_mark
from ...jobs.answers import KeptAnswer, keep_answer, last_answers
from ...learning_curve.forecast import forecast
from ...models.card import read_card
from ...models.names import when_of
from ...project.image import nouns_of
from ...project.project import Project
from ...project.question_plan import Asked, Question, Subject, make_question, make_report, subject_of
from ...project.uses import wholes_of
from ...result import Result
from ...suggest.suggestion import Suggestions
from ...text import about
from ..session.history import new_run
from ..session.jobs import Job, JobSlot
from ..session.known_models import name_of_model
from ..session.session import Session, tells_errors
from ..session.settings import default_device
from ..session.worker import in_background
from .texts import TEXTS

_LOOK_S = 0.4  # per image on a CPU


class QuestionsController:
    """Asks about the dataset that is open.

    `changed` is emitted when there is another answer, or other questions can be asked; `answered` with each new answer.
    """

    changed = Signal()
    answered = Signal(object)

    def __init__(self, session: Session) -> None:
        self.session = session
        self.answers: dict[Question, KeptAnswer] = {}
        self.trial_steps = TRIAL_STEPS
        self.settings: Callable[[PresetName], FinetuneConfig] = _settings
        self._was_running = (False, False)
        session.project_changed.connect(self._on_project_changed)
        session.images_changed.connect(self.changed.emit)
        for signal in (session.models_changed, session.model_changed, session.predictor_changed):
            signal.connect(self.changed.emit)
        for slot in (session.trainings, session.jobs):
            slot.changed.connect(self._on_slot_changed)
        self._on_project_changed()

    def problem(self, question: Question) -> str:
        """Return why a question cannot be asked now, in a sentence; empty if it can."""
        project, slot = self.session.project, self._slot(question)
        if project is None:
            return "Open a dataset first, in section Images."
        if question == "forecast":
            return "" if self.session.history.study else "Run a learning curve in Compare models first."
        problem = self._subject(question, project).problem
        if question == "report" and self.session.history.newest is None:
            problem = "Finetune a model first."
        if slot.is_running and not problem:
            problem = slot.busy
        return problem

    def cost(self, question: Question) -> str:
        """Return what a question is about and what it takes, in a line."""
        project = self.session.project
        if project is None:
            return ""
        subject = self._subject(question, project)
        model = name_of_model(self.session, self._model(question))
        match question:
            case "suggest":
                return f"{subject.about}: {about(_LOOK_S * len(subject.images))}."
            case "check":
                seen = self.session.channels
                channel = f", {seen.title}" if seen is not None and seen.title else ""
                return f"{subject.about}{channel}; compared with the training data of {model}."
            case "can_learn":
                what = nouns_of(subject.images)
                return f"Learns two of the {what} by heart in {self.trial_steps} steps{self._time_of_trial()}."
            case "estimate":
                return f"{model} on {subject.about}."
            case "cross_validate":
                return self._cost_of_trainings(subject)
            case "forecast":
                study = self.session.history.study
                return f"Extends the learning curve of {when_of(study.path)}; answered at once." if study else ""
            case "report":
                newest = self.session.history.newest
                return f"A page about the {newest[1]}, for your notebook or paper." if newest else ""

    @tells_errors
    def ask(self, question: Question, out: Path | None = None) -> None:
        """Save what is unsaved and ask; a report is written to `out`. What keeps it from that is told."""
        session = self.session
        session.about_to_read_files.emit()
        project = session.project
        if problem := self.problem(question):
            raise RunError(problem)
        assert project is not None
        folder = new_run(project, f"question-{question.replace('_', '-')}")
        if question == "forecast":
            self._look_ahead(project, folder)
            return
        subject = self._subject(question, project)
        config = session.seeing(self.settings("fast" if question == "cross_validate" else "default"))
        if question == "report":
            assert self.session.history.newest is not None
            run, words = self.session.history.newest
            asked = Asked(question=question, about=words)
            request: BaseModel = make_report(project, run, out or run / "report.html", config)
        else:
            model = self._model(question)
            asked = Asked(
                question=question,
                model=model,
                model_name=name_of_model(self.session, model),
                about=subject.about,
                images=subject.names,
            )
            request = make_question(asked, project, config, folder, steps=self.trial_steps)
        self._start(project, folder, asked, request)

    def image_of(self, kept: KeptAnswer, row: int) -> str:
        """Return which image a row of an answer's table is about, or a region of it; empty if it is not there."""
        project, table = self.session.project, kept.result.table
        if project is None or table is None or not table.of_images or row >= len(table.rows):
            return ""
        name = table.rows[row][0]
        return next((one for one in (name, without_mark(name)) if one in project.names), "")

    def _start(self, project: Project, folder: Path, asked: Asked, request: BaseModel) -> None:
        session, doing = self.session, TEXTS[asked.question].doing

        def on_end(file: Path | None) -> None:
            if file is None:
                session.tell(f"{doing} was stopped, so there is no answer.")
            else:
                self._keep(project, folder, asked)

        slot = self._slot(asked.question)
        slot.require_free()
        session.tell(f"{doing} has started. You can keep annotating.")
        job = Job(folder, doing, request)
        job.ended.connect(on_end)
        slot.start(job)

    def _look_ahead(self, project: Project, folder: Path) -> None:
        """Carry on the newest learning curve, in a thread because it takes a few tenths of a second."""
        study = self.session.history.study
        assert study is not None
        asked = Asked(question="forecast", about=f"learning curve of {when_of(study.path)}")
        in_background(
            lambda: forecast(study.rows),
            title=TEXTS["forecast"].title,
            on_end=lambda found: self._keep(project, folder, asked, found),
            on_error=self.session.fail,
        )

    def _keep(self, project: Project, folder: Path, asked: Asked, result: Result | None = None) -> None:
        try:
            self._conclude(project, keep_answer(folder, asked, result))
        except FinetuneError as error:
            self.session.fail(error)

    def _conclude(self, project: Project, kept: KeptAnswer) -> None:
        """Say what came of a question and, if that is what it was about, mark the suggested images."""
        session, asked = self.session, kept.asked
        title = TEXTS[asked.question].title.rstrip("…")
        if not session.is_still_open(project, title.rstrip("?"), "Open it again to see the answer."):
            return
        assert session.project is not None
        if isinstance(kept.result, Suggestions):
            there = (one for one in kept.result if one.image in session.project.names)
            session.project.set_suggested({one.image: one.reason for one in there})
            session.images_changed.emit()
        self.answers[asked.question] = kept
        session.tell(f"{title}{'' if title.endswith('?') else ':'} {kept.result.headline}")
        self.changed.emit()
        self.answered.emit(kept)

    def _subject(self, question: Question, project: Project) -> Subject:
        """Return what a question is about."""
        if TEXTS[question].asks == "none":
            return Subject()
        model = self._model(question)
        try:
            if problem := self._problem_of_model(question):
                return Subject(problem=problem)
            return subject_of(question, project, self.session.history.known_to(model))
        except FinetuneError as error:
            return Subject(problem=f"Choose another model: {error}")

    def _problem_of_model(self, question: Question) -> str:
        """Return that a network which only predicts cannot answer a question; empty if it can."""
        if question in ("can_learn", "cross_validate"):
            return self.session.base_problem
        if question == "suggest" and read_card(self.session.predictor).only_predicts:
            name = name_of_model(self.session, self.session.predictor)
            return f"{name} is a network of another program, into which nobody can look. Predict with another model."
        return ""

    def _time_of_trial(self) -> str:
        pace = self.session.history.pace
        config = self.settings("default").model_copy(update={"steps": self.trial_steps})
        return f": {about(pace * config.trained_px)}" if pace else ""

    def _cost_of_trainings(self, subject: Subject) -> str:
        pixels, pace = FinetuneConfig(preset="fast").trained_px, self.session.history.pace
        count = len(units_of(wholes_of(subject.images), len(subject.images)))
        time = f": {about(count * pace * pixels)}" if pace else ""
        doubt = ""
        known = self.session.history.known_to(self.session.model)
        if set(subject.names) & known.trained:
            doubt = (
                f" {name_of_model(self.session, self.session.model)} was trained on some of these images: choose the "
                "base it came from in section Model first."
            )
        what = nouns_of(subject.images) if count == len(subject.images) else "images"
        return f"{count} short trainings, each without one of the {what}{time}.{doubt}"

    def _model(self, question: Question) -> str:
        """Return the model that is asked: the base where it is about a training, else the one that predicts."""
        return self.session.model if TEXTS[question].asks == "base" else self.session.predictor

    def _slot(self, question: Question) -> JobSlot:
        return self.session.trainings if question == "cross_validate" else self.session.jobs

    def _on_slot_changed(self) -> None:
        now = (self.session.trainings.is_running, self.session.jobs.is_running)
        if now != self._was_running:
            self._was_running = now
            self.changed.emit()

    def _on_project_changed(self) -> None:
        self.answers = last_answers(reversed(self.session.history.folders))
        self.changed.emit()


def _settings(preset: PresetName) -> FinetuneConfig:
    return FinetuneConfig(preset=preset, device=default_device())
