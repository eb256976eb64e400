"""What the docks of one viewer share: the dataset, the image shown, the model, the jobs, and what to tell the user."""

from __future__ import annotations

import functools
import itertools
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from psygnal import Signal, SignalInstance

from ...config import AppearanceName, ChannelRule, FinetuneConfig, PredictConfig
from ...data.channels import usual_channels
from ...errors import FinetuneError, ModelError
from ...models.card import find_model_file, read_card
from ...models.names import name_of_file
from ...models.zoo import shipped_name
from ...project.choices import Choices
from ...project.project import Project
from ...project.training_plan import TrainingPlan, plan_training
from ...project.uses import NOTHING, Known
from ...runs.recent import RecentModels
from ..widgets.message_line import Tone
from .history import History
from .jobs import JobRunner, JobSlot, Processes
from .listener import Listener
from .settings import default_device, recent_models_file
from .stage import Stage

if TYPE_CHECKING:
    from napari.components import ViewerModel


Shared = TypeVar("Shared")
Config = TypeVar("Config", FinetuneConfig, PredictConfig)
DEFAULT_MODEL = "nuclei-fluorescence"


@dataclass(frozen=True)
class Message:
    """A sentence for the user; it stays in the dock until the next one, or until it no longer `holds`."""

    text: str = ""
    tone: Tone = "info"
    holds: Callable[[], bool] | None = field(default=None, compare=False)


class Session:
    """The state behind the docks of one viewer. Signals are emitted in the GUI thread only.

    Parameters
    ----------
    viewer
        The viewer whose docks share this.
    runner
        How jobs are carried out; in child processes, unless a test wants it otherwise.
    """

    project_changed = Signal()  # another dataset, or none
    images_changed = Signal()  # which images are annotated, their roles, scores or marks
    mask_saved = Signal(str)  # what is painted in an image that was annotated before; its name
    current_changed = Signal()  # another image is shown, or its layers were made anew
    model_changed = Signal()  # another base model
    predictor_changed = Signal()  # another model to predict with
    channels_changed = Signal()  # another channel for models to see
    appearance_changed = Signal()  # which way round a model is shown images
    models_changed = Signal()  # a training left a new model
    choices_changed = Signal()  # other settings for the trainings of the dataset
    message_changed = Signal()
    about_to_read_files = Signal()  # whoever holds unsaved work saves it now, for someone is about to read the files

    def __init__(self, viewer: ViewerModel, runner: JobRunner | None = None) -> None:
        self.viewer = viewer
        self.stage, self.history = Stage(), History()
        self._processes = Processes()
        runner = runner or self._processes
        self.trainings = JobSlot(runner, self.fail)
        self.jobs = JobSlot(runner, self.fail)  # predictions and questions, also while a training runs
        self._numbers = itertools.count(1)
        self.recent = RecentModels(recent_models_file())
        self._project: Project | None = None
        self._current: str | None = None
        self._model: str = DEFAULT_MODEL
        self._predictor: str | None = None
        self._appearances: dict[str, AppearanceName] = {}  # by model, where one was chosen
        self.choices = Choices()  # of the dataset
        self.message = Message()
        self._shared: dict[Callable[[Session], Any], Any] = {}
        for slot in (self.trainings, self.jobs):
            slot.begins.connect(self._withdraw)
        for signal in self._changes:
            signal.connect(self.look_at_message)
        self.models_changed.connect(self.look_back)  # before any other hears of it

    @property
    def project(self) -> Project | None:
        """The dataset that is annotated."""
        return self._project

    @project.setter
    def project(self, project: Project | None) -> None:
        if project is None or not self.is_open(project):
            self._predictor = None
        self._project, self._current = project, None
        self.look_back()
        self._recall_choices()
        self.stage.clear()
        self.project_changed.emit()

    def is_open(self, project: Project) -> bool:
        """Tell whether `project` is the dataset that is open, which may have been opened anew since."""
        return self._project is not None and self._project.folder == project.folder

    @property
    def current(self) -> str | None:
        """Name of the image that is shown for annotating; set by what shows it, once it is there."""
        return self._current

    @current.setter
    def current(self, name: str) -> None:
        self._current = name
        self.stage.follow(name)
        self.current_changed.emit()

    @property
    def model(self) -> str:
        """The base that finetunings start from: a file, or the name of one that ships."""
        return self._model

    @model.setter
    def model(self, model: str | Path) -> None:
        self._model = str(model)
        self.remember(base=self._model)
        self.model_changed.emit()

    @property
    def predictor(self) -> str:
        """The model to predict with: a file, or the name of one that ships; the base if no other was chosen."""
        return self._predictor or self._model

    @predictor.setter
    def predictor(self, model: str | Path | None) -> None:
        self._predictor = None if model is None else str(model)
        self.predictor_changed.emit()

    @property
    def channels(self) -> ChannelRule | None:
        """Which channel of the images of the dataset models see: the chosen one, else the usual one of the model."""
        project = self._project
        if project is None or project.channels is not None:
            return project.channels if project else None
        return self.usual_channels(project.channel_names)

    @channels.setter
    def channels(self, channels: ChannelRule | None) -> None:
        try:
            if self._project is not None:
                self._project.channels = channels
        except FinetuneError as error:
            self.fail(error)
        self.channels_changed.emit()

    def usual_channels(self, names: Sequence[str]) -> ChannelRule | None:
        """Return what the model that predicts sees of images with these channels, while nobody has chosen."""
        try:
            return read_card(self.predictor).usual_channels(names) if names else None
        except FinetuneError:  # said where the model is used
            return usual_channels(names)

    def seeing(self, config: Config) -> Config:
        """Return the settings of a training or a prediction in the dataset, with its channel."""
        return config.model_copy(update={"channels": self.channels})

    def appearance_of(self, model: str | Path) -> AppearanceName:
        """Return which way round `model` is shown images, as chosen for it in *Dark and bright*; else ``auto``.

        The choice is about the images and one model. A base that knows one sign of contrast may need the images
        exchanged; a model that was finetuned on them knows so itself, and shown them exchanged once more it would fail.
        So it holds for the model it was made for, wherever the user has that predict (Predict, Annotate) or looks
        through it (What the model sees), and is remembered with the dataset. A training tries both ways by itself, and
        a comparison, of models of both kinds, leaves it to each of them.
        """
        return self._appearances.get(_known_as(model), "auto")

    def show_as(self, model: str | Path, appearance: AppearanceName) -> None:
        """Choose which way round `model` is shown images."""
        chosen = {**self._appearances, _known_as(model): appearance}
        self._appearances = {one: way for one, way in chosen.items() if way != "auto"}
        self.remember(appearances=self._appearances)
        self.appearance_changed.emit()

    def prediction_by(self, model: str | Path) -> PredictConfig:
        """Return how `model` predicts images of the dataset: on the preferred device, seeing them as was chosen."""
        return self.seeing(PredictConfig(device=default_device(), appearance=self.appearance_of(model)))

    @property
    def base_problem(self) -> str:
        """Why no training can start from the base, in a sentence; empty if one can."""
        if not find_model_file(self._model).is_file():
            return (
                f"{name_of_file(self._model)}, the base chosen for this dataset, is not where it was ({self._model}). "
                "Choose a base in section Model."
            )
        try:
            reason = read_card(self._model).why_not_trained
        except FinetuneError as error:
            return str(error)
        return reason and f"{reason} Choose another model to start from in section Model."

    def remember(self, **choices: Any) -> None:
        """Keep what the user chose for the models of the dataset, fields of `Choices` by name."""
        chosen = self.choices.model_copy(update=choices)
        if chosen != self.choices and self._project is not None and self._project.source.exists():
            self.choices = chosen
            chosen.keep(self._project.folder)
            self.choices_changed.emit()

    def known_to_base(self, config: FinetuneConfig) -> Known:
        """Return which images the model has seen that a training with `config` starts from.

        Raises
        ------
        FinetuneError
            If no training can start from it.
        """
        if config.preset == "from scratch":
            return NOTHING
        if problem := self.base_problem:
            raise ModelError(problem)
        return self.history.known_to(self._model)

    def plan(self) -> TrainingPlan:
        """Return what a training would use as all is set now, an empty plan without a dataset."""
        config, known = self.choices.config or FinetuneConfig(), NOTHING
        if self._project is None:
            return TrainingPlan()
        with suppress(FinetuneError):  # said where the base is chosen
            known = self.known_to_base(config)
        return plan_training(self._project, config, known)

    def _recall_choices(self) -> None:
        """Start from what was chosen for the dataset or, where nothing was, from the base of its last training."""
        self.choices = Choices() if self._project is None else Choices.read(self._project.folder)
        self._appearances = self.choices.appearances
        last = self.history.training
        if base := self.choices.base or (last.request.checkpoint if last is not None else None):
            self._model = base

    def look_back(self) -> None:
        """Have the folders of earlier jobs looked up anew."""
        self.history = History(self._project)

    def is_still_open(self, project: Project, title: str, hint: str) -> bool:
        """Tell whether `project` is open now that a job of it has ended; if not, the user is told of the job."""
        if not self.is_open(project):
            self.tell(f"{title} in another dataset has ended. {hint}")
        return self.is_open(project)

    def scratch(self) -> Path:
        """Return a new folder for files that nobody needs any more when the session is gone."""
        folder = self._scratch / f"job-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def shared(self, make: Callable[[Session], Shared]) -> Shared:
        """Return what the panels share of this kind, made for the first of them.

        It stays when a dock is closed: a job goes on, and the dock that is opened next shows what came of it.
        """
        if make not in self._shared:
            self._shared[make] = make(self)
        found: Shared = self._shared[make]
        return found

    def tell(self, text: str, tone: Tone = "info", *, holds: Callable[[], bool] | None = None) -> None:
        """Show a sentence in the docks; warnings and errors are also shown by napari.

        One that says what is so, or what to do next, is taken back as soon as `holds` says that it is so no longer.
        """
        from napari.utils import notifications

        self.message = Message(text, tone, holds)
        self.message_changed.emit()
        if tone == "error":
            notifications.show_error(text)
        elif tone == "warning":
            notifications.show_warning(text)

    @property
    def _changes(self) -> tuple[SignalInstance, ...]:
        """What a sentence may no longer hold after."""
        here = (self.project_changed, self.images_changed, self.mask_saved, self.current_changed)
        return (*here, self.trainings.changed, self.jobs.changed)

    def look_at_message(self) -> None:
        """Take the sentence back that is shown, if it no longer holds."""
        if self.message.holds is not None and not self.message.holds():
            self._take_back()

    def _withdraw(self) -> None:
        """Take back a warning or an error: whoever starts something has read it, and perhaps has put it right."""
        if self.message.tone != "info":
            self._take_back()

    def _take_back(self) -> None:
        self.message = Message()
        self.message_changed.emit()

    def fail(self, error: Exception) -> None:
        """Tell the user what to put right; a fault of the program is raised, so that napari shows its traceback."""
        if not isinstance(error, FinetuneError):
            self.message = Message(
                "A bug in this program. Please report it: the details are in napari's message.", "error"
            )
            self.message_changed.emit()
            raise error
        self.tell(str(error), "error")

    def close(self) -> None:
        """Save what is unsaved, let go of the viewer, and end all jobs."""
        self.about_to_read_files.emit()
        for part in self._shared.values():
            if isinstance(part, Listener):
                part.release()
        self._shared.clear()
        self.end_jobs()
        for signal in self._changes:
            signal.disconnect(self.look_at_message, missing_ok=True)

    def end_jobs(self) -> None:
        """End all jobs without a word; a training can be resumed."""
        self.trainings.close()
        self.jobs.close()
        self._processes.close()

    @cached_property
    def _scratch(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="unet-finetune-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder


def _known_as(model: str | Path) -> str:
    """Return the name of a model that ships, be it given or its file; of another one its file."""
    file = find_model_file(model).absolute()
    return shipped_name(file) or str(file)


class _InSession(Protocol):
    session: Session


Host = TypeVar("Host", bound=_InSession)
P = ParamSpec("P")


def tells_errors(method: Callable[Concatenate[Host, P], None]) -> Callable[Concatenate[Host, P], None]:
    """Have the user told, in a sentence, of what keeps a method of something in a session from its work."""

    @functools.wraps(method)
    def wrapped(self: Host, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except FinetuneError as error:
            self.session.fail(error)

    return wrapped


def session_of(viewer: Any) -> Session:
    """Return the session that the docks of `viewer` share, a new one for the first of them."""
    for dock in viewer.window.dock_widgets.values():
        if isinstance(session := getattr(unwrapped(dock), "session", None), Session):
            return session
    return Session(unwrapped(viewer))


def unwrapped(thing: Any) -> Any:
    """Return what napari's proxy stands for: proxies of one layer are not identical, and ours are no proxies."""
    return getattr(thing, "__wrapped__", thing)
