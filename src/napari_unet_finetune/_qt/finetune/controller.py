"""A finetuning from the click to its model: copies are made, a job runs, and what came of it is said and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from psygnal import Signal

from ...config import FinetuneConfig, PredictConfig
from ...errors import RunError
from ...io.disk import file_stamp
from ...progress import RunProgress
from ...project.image import Uses, counted
from ...project.project import Project
from ...project.training_plan import OldImages, make_request, plan_training, title_of, uses_of
from ...runs.folder import RunFolder
from ...runs.history import PastRun
from ...text import count_of
from ..session.history import History, new_run
from ..session.jobs import Job
from ..session.session import Message, Session, tells_errors
from ..session.settings import default_device
from .preview_layers import RunLayers


@dataclass(frozen=True)
class Outcome:
    """How a training ended: what to say, its model if it left a new one, its curve; and its folder if it learned."""

    message: Message
    model: Path | None = None
    progress: RunProgress = field(default_factory=RunProgress)
    when: str = ""  # empty for the training that has just ended
    run: Path | None = None

    @classmethod
    def of(cls, progress: RunProgress, model: Path | None, when: str = "", note: str = "") -> Outcome:
        """Return how a training with this `progress` ended, that left `model`; `note` is what else there is to say."""
        end = progress.end
        if end is None:
            text = "Stopped before the first step: nothing has changed." if model is None else "The training has ended."
            return cls(Message(text), when=when)
        message = Message(" ".join(filter(None, (end.summary, note))), "warning" if end.is_disappointing else "info")
        return cls(message, None if end.kept_raw else model, progress, when, model and model.parent)


class FinetuneController:
    """Starts trainings of the dataset that is open, and finds those of earlier days.

    `changed` is emitted when there is another outcome, another interrupted training, or masks have changed meanwhile.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.layers = RunLayers(session)
        self.outcome: Outcome | None = None
        self.interrupted: tuple[PastRun, ...] = ()
        self.changed_since: tuple[str, ...] = ()
        self.pace: float | None = None  # seconds per patch pixel of the last training
        self._uses: Uses = {}  # of images by the training under way, until it has done a step
        self._stamps: dict[str, tuple[int, int]] = {}
        self._project: Project | None = None
        session.project_changed.connect(self._on_project_changed)
        session.images_changed.connect(self._on_images_changed)
        session.mask_saved.connect(self._on_mask_saved)
        if session.project is not None:
            session.look_back()
            self._on_project_changed()

    @property
    def model(self) -> Path | None:
        """The model that the last training left, None if it left none."""
        return self.outcome.model if self.outcome is not None else None

    @property
    def run(self) -> Path | None:
        """The folder of the last training, None if it learned nothing."""
        return self.outcome.run if self.outcome is not None else None

    def use(self, model: Path, config: PredictConfig | None = None) -> None:
        """Predict with a new `model` from now on, at once the image that is shown."""
        self.session.models_changed.emit()
        self.session.predictor = model
        self.layers.finish(model, config or PredictConfig(device=default_device()))

    @tells_errors
    def start(self, config: FinetuneConfig, old: OldImages | None = None) -> None:
        """Save what is unsaved, copy the masks, and start a training; what keeps it from that is told."""
        session = self.session
        session.about_to_read_files.emit()
        project = session.project
        if project is None:
            return
        session.trainings.require_free()
        config = session.seeing(config)
        plan = plan_training(project, config, session.known_to_base(config))
        if plan.problem:
            raise RunError(plan.problem)
        folder = new_run(project, f"{config.preset}-{len(plan.used)}-images")
        request = make_request(
            plan, folder, config, checkpoint=session.model, old=old
        )  # fmt: skip
        RunFolder.create(folder, request)
        self._stamps = {image.ref.name: file_stamp(image.mask) for image in plan.used if image.mask}
        self._run(folder, plan.title, config, plan.uses)

    @tells_errors
    def resume(self, run: PastRun) -> None:
        """Go on with an interrupted training."""
        self._stamps = {}
        request = run.request
        used = count_of(run.image_count, "image") if request.pairs is None else counted(request.pairs)
        title = title_of(used, len(request.config.held_out or ()))
        self._run(run.folder.path, title, request.config, uses_of(request), is_resumed=True)

    @tells_errors
    def use_best(self, run: PastRun) -> None:
        """Take the best model of an interrupted training as its result."""
        run.use_best()
        again = PastRun(run.folder)
        note = self.session.history.other_images(run.folder.path)
        self._conclude(Outcome.of(again.progress, again.model, note=note), again.request.config)

    @tells_errors
    def discard(self, run: PastRun) -> None:
        """Put an interrupted training aside; its files are kept."""
        aside = run.put_aside()
        self.session.tell(f"The interrupted training was moved to {aside}.")
        self.session.look_back()
        self._look_for_interrupted()

    def _run(self, folder: Path, title: str, config: FinetuneConfig, uses: Uses, *, is_resumed: bool = False) -> None:
        """Carry a training out; images count as used once a model has learned from them."""
        session, project = self.session, self.session.project
        self.outcome, self.changed_since = None, ()

        assert project is not None

        def on_end(model: Path | None) -> None:
            self._note_uses(project, job)
            outcome = Outcome.of(job.progress, model, note=session.history.other_images(folder))
            if session.is_still_open(project, title, outcome.message.text):
                self._conclude(outcome, config)

        job = Job(folder, title)
        self._uses = uses
        job.event.connect(lambda _event: self._note_uses(project, job))
        job.event.connect(self.layers.on_event)
        job.ended.connect(on_end)
        job.failed.connect(self._on_failed)
        verb = "goes on" if is_resumed else "has started"
        told = f"{title} {verb}. You can keep annotating."
        if any(run.is_under_way for run in History(project).trainings if run.folder.path != folder):
            told += " Another window trains on this dataset, too, so both take longer."
        session.tell(told, holds=lambda: session.trainings.is_running)
        session.trainings.start(job)
        self.layers.watch()
        self._look_for_interrupted()

    @tells_errors
    def _note_uses(self, project: Project, job: Job) -> None:
        """Remember what the images of `project` are used for, so that it stays that, once a step is done."""
        if job.progress.step and self._uses:
            now = self.session.project
            project = now if now is not None and self.session.is_open(project) else project  # opened anew
            there = {image.name for image in project.images}
            uses, self._uses = self._uses, {}
            project.set_used({name: use for name, use in uses.items() if name in there})

    def _on_failed(self) -> None:
        self.outcome = Outcome(self.session.message)
        self.layers.finish(None, PredictConfig())
        self.session.look_back()
        self._look_for_interrupted()

    def _conclude(self, outcome: Outcome, config: FinetuneConfig) -> None:
        """Say what came of a training with `config`, and predict with its model from now on."""
        self.outcome = outcome
        large = self.layers.about_large if outcome.model is not None else ""
        self.session.tell(" ".join(filter(None, (outcome.message.text, large))), outcome.message.tone)
        if outcome.model is not None:
            self.use(outcome.model, PredictConfig(device=config.device))
        else:
            self.session.models_changed.emit()
            self.layers.finish(None, PredictConfig())
        self._look_for_interrupted()

    def _on_project_changed(self) -> None:
        before, self._project = self._project, self.session.project
        if before is not None and self.session.is_open(before):  # opened anew
            self._look_for_interrupted()
            self._on_images_changed()
            return
        self.outcome, self.changed_since, self._stamps = None, (), {}
        last = self.session.history.training
        if last is not None:
            note = self.session.history.other_images(last.folder.path)
            self.outcome = Outcome.of(last.progress, last.model, last.when, note)
            if (newest := last.newest_mix or self.outcome.model) is not None:
                self.session.predictor = newest
        self._look_for_interrupted()

    def _look_for_interrupted(self) -> None:
        history, job = self.session.history, self.session.trainings.job
        self.pace = history.pace or self.pace
        busy = job.folder if job is not None else None
        runs = reversed(history.trainings)
        self.interrupted = tuple(run for run in runs if run.folder.path != busy and run.is_interrupted)
        self.changed.emit()

    def _on_images_changed(self) -> None:
        """Note whose masks are no longer what the training learns from."""
        project = self.session.project
        if project is None or not self._stamps:
            return
        now = {image.name: file_stamp(image.mask) for image in project.images if image.mask}
        changed = tuple(name for name, stamp in self._stamps.items() if now.get(name) != stamp)
        if changed != self.changed_since:
            self.changed_since = changed
            self.changed.emit()

    def _on_mask_saved(self, name: str) -> None:
        if name in self._stamps and name not in self.changed_since:
            self._on_images_changed()
