"""A learning curve from the click to its chart: trainings in the background, resumed after an interruption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psygnal import Signal
from pydantic import BaseModel

from ...config import FinetuneConfig
from ...errors import FinetuneError, RunError
from ...events import Event, Notice, PartStarted
from ...learning_curve.folder import StudyFolder
from ...learning_curve.words import curve_in_words
from ...models.names import when_of
from ...project.curve_plan import CurvePlanning, make_curve_request, note_curve_uses, plan_curve
from ...project.project import Project
from ...runs.history import scored_on_others
from ...text import about
from ..session.history import new_run
from ..session.jobs import Job
from ..session.session import Session, tells_errors
from .models import Colors

TITLE = "Learning curve"


class CurveController:
    """Trains with growing numbers of images of the dataset that is open.

    `changed` is emitted when there is more to show, `ended` with the study when its models can be compared.
    """

    changed = Signal()
    ended = Signal(object)

    def __init__(self, session: Session) -> None:
        self.session = session
        self.study: StudyFolder | None = None
        session.project_changed.connect(self._on_project_changed)
        session.models_changed.connect(self.changed.emit)  # how long it takes may be known now
        session.model_changed.connect(self.changed.emit)
        session.trainings.changed.connect(self._on_slot_changed)
        self._was_running = False
        self._on_project_changed()

    @property
    def is_running(self) -> bool:
        """Tell whether the curve that is shown is under way."""
        job = self.session.trainings.job
        return job is not None and self.study is not None and job.folder == self.study.path

    @property
    def is_interrupted(self) -> bool:
        """Tell whether the curve that is shown can be resumed."""
        return self.study is not None and not self.is_running and not self.study.is_finished

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the curve says so far."""
        return (*curve_in_words(self.study), *filter(None, [self._other_images()])) if self.study is not None else ()

    def _other_images(self) -> str:
        """Return that the curve is tested on other images than the one before; empty if it is not."""
        studies, now = self.session.history.studies, self.study
        older = [one for one in studies if now is not None and one.path.name < now.path.name and one.rows]
        if now is None or not older or not now.rows:
            return ""
        tests, before = ([pair.name for pair in study.plan.test] for study in (now, older[0]))
        return scored_on_others(tests, before, f"learning curve of {when_of(older[0].path)}")

    def plan(self, counts: Sequence[int], seeds: int) -> CurvePlanning:
        """Return what a new curve would use, or why it cannot start."""
        project = self.session.project
        if project is None:
            return CurvePlanning(problem="Open a dataset first: Annotate and finetune, Images.")
        try:
            known = self.session.known_to_base(FinetuneConfig())
        except FinetuneError as error:
            return CurvePlanning(problem=str(error))
        planning = plan_curve(project, counts, seeds, known)
        busy = self.session.trainings.busy
        return CurvePlanning(problem=busy) if busy and not planning.problem else planning

    def duration(self, trainings: int, config: FinetuneConfig) -> str:
        """Return how long `trainings` will take in words, as far as an earlier training tells; empty if none does."""
        if (pace := self.session.history.pace) is None or config.epochs:
            return ""
        seconds = trainings * pace * config.trained_px
        return f"{config.steps:,} steps each, {about(seconds)} in all on this computer, plus the scoring."

    @tells_errors
    def start(self, counts: Sequence[int], seeds: int, config: FinetuneConfig, dataset1: Path | None = None) -> None:
        """Copy the masks and start all trainings; what keeps it from that is told."""
        session = self.session
        session.about_to_read_files.emit()
        project = session.project
        planning = self.plan(counts, seeds)
        if planning.problem or project is None:
            raise RunError(planning.problem)
        folder = new_run(project, "learning-curve")
        config = session.seeing(config)
        request = make_curve_request(planning, folder, checkpoint=session.model, config=config, dataset1=dataset1)
        self._run(project, folder, request)
        note_curve_uses(project, planning)

    @tells_errors
    def resume(self) -> None:
        """Go on with the curve that is shown."""
        project, study = self.session.project, self.study
        if project is None or study is None:
            return
        self._run(project, study.path, None)

    def colors(self, colors: Colors) -> dict[int, str]:
        """Return the color of each number of images: that of its model, of the first seed, if it was looked at."""
        if self.study is None:
            return {}
        base = self.study.plan.checkpoint
        files = [(0, base), *((arm.count, str(file)) for arm, file in self.study.models.items())]
        found = ((count, colors.get(file)) for count, file in files if file)
        return {count: color for count, color in reversed(list(found)) if color}

    def _run(self, project: Project, folder: Path, request: BaseModel | None) -> None:
        session = self.session

        def on_end(_file: Path | None) -> None:
            if not session.is_still_open(project, TITLE, f"Its models are in {folder}."):
                return
            self.study = StudyFolder(folder)
            session.models_changed.emit()
            session.tell(self._outcome())
            self.changed.emit()
            self.ended.emit(self.study)

        def on_failed(_error: Exception) -> None:
            if session.is_open(project):
                session.look_back()
                self._on_project_changed()

        job = Job(folder, TITLE, request)
        job.event.connect(lambda event: self._on_event(folder, event))
        job.ended.connect(on_end)
        job.failed.connect(on_failed)
        session.tell(f"{TITLE}: training has started. You can keep annotating.")
        session.trainings.start(job)
        if session.trainings.is_running:
            self.study = StudyFolder(folder)
            self.changed.emit()

    def _outcome(self) -> str:
        assert self.study is not None
        if not self.study.is_finished:
            return f"{TITLE} stopped; the models trained so far are kept. Resume continues from there."
        return " ".join(self.sentences)

    def _on_event(self, folder: Path, event: Event) -> None:
        """Read the folder again when a model may have been tested."""
        if isinstance(event, PartStarted | Notice):
            self.study = StudyFolder(folder)
            self.changed.emit()

    def _on_slot_changed(self) -> None:
        if self._was_running != self.session.trainings.is_running:
            self._was_running = self.session.trainings.is_running
            self.changed.emit()

    def _on_project_changed(self) -> None:
        self.study = next(iter(self.session.history.studies), None)  # finished or not
        self.changed.emit()
