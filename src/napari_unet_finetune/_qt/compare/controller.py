"""A comparison from the click to its table: which models and images, a job, and what each model makes of each image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from psygnal import Signal

from ...colors import MODELS
from ...comparison.cache import LastComparison, read_last_comparison
from ...config import ChannelRule, PredictConfig
from ...errors import RunError
from ...events import Event, ImageCompared
from ...io.disk import file_stamp
from ...learning_curve.folder import StudyFolder
from ...models.card import find_model_file
from ...project.image import note_on_accepted
from ...project.image_sets import ImageSet, image_sets
from ...project.project import Project
from ...project.training_plan import pairs_of
from ...runs.request import REQUEST, ComparedModel, CompareRequest
from ...text import count_of, first_of
from ..session.history import home_of
from ..session.jobs import Job
from ..session.known_models import KnownModel, accept_model
from ..session.session import Session, tells_errors
from ..session.settings import default_device
from ..session.worker import in_background
from .models import Base, Colors, ModelColumn, bases_of, first_models, list_models_to_compare, read_training

COMPARISON = "comparison"


def job_folder(project: Project) -> Path:
    """Return the folder of the job that compares, of which there is one."""
    return home_of(project) / COMPARISON / "job"


def labels_folder(project: Project) -> Path:
    """Return the folder in which labels are kept, see `comparison.cache`."""
    return home_of(project) / COMPARISON / "labels"


def recall_comparison(
    project: Project, on_end: Callable[[LastComparison], object], on_error: Callable[[Exception], object]
) -> None:
    """Read in a thread what is kept of the last comparison; `on_end` is not called if that is nothing."""
    job, cache = job_folder(project), labels_folder(project)
    if not (job / REQUEST).is_file():
        return

    in_background(
        lambda: read_last_comparison(job, cache, project),
        title="Reading the last comparison",
        on_end=lambda last: on_end(last) if last is not None else None,
        on_error=on_error,
    )


CHOSEN = "chosen"
MOST_MODELS = 8


class CompareController:
    """Compares models on images of the dataset that is open.

    `listed` is emitted when there are other models or images to choose from, `changed` when the table is another one
    or a cell of it.
    """

    listed = Signal()
    changed = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.colors = Colors()
        self.entries: list[KnownModel] = []
        self.chosen: set[str] = set()
        self.bases: dict[str, Base] = {}  # of the models that are chosen
        self.sets: tuple[ImageSet, ...] = ()
        self.columns: tuple[ModelColumn, ...] = ()
        self.images: tuple[str, ...] = ()
        self.split = False  # objects that touch are cut apart
        self.cells: dict[tuple[str, str], ImageCompared] = {}  # by label and name
        self._set_key, self._names = "", tuple[str, ...]()  # names that were chosen one by one
        self._stamps: dict[str, tuple[int, int]] = {}
        self._seen: ChannelRule | None = None  # by the models of the table
        self._added: list[Path] = []
        self._is_fresh = True  # the user has not chosen models yet
        self._project = session.project  # whose table it is
        self._reading: object | None = None  # what is read from disk to be shown; None if nothing is wanted from there
        session.project_changed.connect(self._on_project_changed)
        session.models_changed.connect(self.refresh)
        session.model_changed.connect(self.refresh)
        session.images_changed.connect(self._on_images_changed)
        session.current_changed.connect(self._on_images_changed)
        self.refresh()
        self._recall()

    @property
    def image_set(self) -> ImageSet | None:
        """The images to compare on."""
        return next((one for one in self.sets if one.key == self._set_key), self.sets[0] if self.sets else None)

    @property
    def problem(self) -> str:
        """Why it cannot start, in a sentence; empty if it can."""
        if self.session.project is None:
            return "Open a dataset first: Annotate and finetune, Images."
        if not self.chosen:
            return "Tick at least one model."
        if len(self.chosen) > MOST_MODELS:
            return f"Tick at most {MOST_MODELS} models: more colors cannot be told apart."
        if self.image_set is None:
            return "There is no image to compare on."
        return self.session.jobs.busy

    @property
    def without_base(self) -> str:
        """Which of the chosen models cannot be compared with what they were finetuned from, in a sentence."""
        gone = [(one.label, self.bases[one.model].name) for one in self._ticked if self._is_gone(one)]
        if not gone:
            return ""
        name = " and ".join(dict.fromkeys(base for _, base in gone))
        return (
            f"{name}, the base of {first_of([label for label, _ in gone])}, is gone: no model here has its weights. "
            "Add its file to compare with it."
        )

    def _is_gone(self, entry: KnownModel) -> bool:
        return entry.model in self.bases and self.bases[entry.model].found is None

    @property
    def stale(self) -> tuple[str, ...]:
        """Names of compared images whose masks have changed since."""
        project = self.session.project
        if project is None:
            return ()
        return tuple(name for name in self.images if self._stamps.get(name) != file_stamp(project.image(name).mask))

    def choose_models(self, models: Collection[str]) -> None:
        """Choose models by what `KnownModel.model` says; with a finetuned one, what it was finetuned from."""
        self.chosen, self._is_fresh = self._with_bases(models, set(models) - self.chosen), False
        self._look_at_chosen()
        self.listed.emit()

    def choose_images(self, key: str) -> None:
        """Choose a set of images."""
        self._set_key = key
        self.listed.emit()

    def choose_names(self, names: Sequence[str]) -> None:
        """Choose images one by one."""
        self._names = tuple(names)
        self._list_images()
        self.choose_images(CHOSEN if names else "")

    def add_file(self, path: Path) -> None:
        """List the model in a file, and choose it; one that is no model is refused in a sentence."""
        accepted = accept_model(self.session, path)
        if accepted is None:
            return
        self._added = [*(one for one in self._added if one != accepted), accepted]
        self._list_models()
        same = next(entry.model for entry in self.entries if entry.file == accepted)
        self.choose_models([*self.chosen, same])

    def refresh(self) -> None:
        """List models and images anew."""
        self._list_models()
        self._list_images()
        self.listed.emit()

    def choose_study(self, study: StudyFolder) -> None:
        """Choose the base and the models of a learning curve, those of the first seed."""
        self._list_models()
        first = [str(file) for arm, file in study.models.items() if arm.seed == study.plan.config.seed]
        self.choose_models(self._with_bases(first, first))

    @tells_errors
    def compare(self) -> None:
        """Predict and score every chosen model on every chosen image; what keeps it from that is told."""
        session = self.session
        session.about_to_read_files.emit()
        project, images = session.project, self.image_set
        if self.problem or project is None or images is None:
            raise RunError(self.problem)
        project.check_there()
        columns = self._columns_of(self._ticked)
        request = self._request(project, columns, images)
        self._begin(project, columns, images)
        job = Job(job_folder(project), _title(columns), request)
        job.event.connect(lambda event: self._on_event(columns, event))
        job.ended.connect(lambda _file: self._on_end(project, columns))
        session.jobs.start(job)
        self.changed.emit()

    def note_on_masks(self, names: Collection[str]) -> str:
        """Return which of the images called `names` have predictions as masks, and whose scores are too good there."""
        images = () if self.session.project is None else self.session.project.images
        return note_on_accepted(image for image in images if image.name in names)

    def set_split(self, on: bool) -> None:
        """Cut objects that touch apart or leave them; what is compared already is scored anew."""
        if self.columns and self.problem:  # the table goes on showing what it holds
            self.session.tell(self.problem, "warning")
        else:
            self.split = on
            if self.columns:
                self.compare()
        self.changed.emit()

    def cell(self, label: str, image: str) -> ImageCompared | None:
        """Return what is known of a model on an image."""
        return self.cells.get((label, image))

    def require_labels(self, names: Iterable[str]) -> None:
        """Refuse to show images of the table whose predictions were removed from disk, or whose dataset was.

        Raises
        ------
        FinetuneError
            If they are gone; what the table holds is not.
        """
        if self._project is not None:
            self._project.check_there()
        for name in names:
            cells = (cell for column in self.columns if (cell := self.cell(column.label, name)) is not None)
            gone = next((cell.labels for cell in cells if cell.labels and not cell.labels.is_file()), None)
            if gone is not None:
                raise RunError(
                    f"{name}: its predictions are no longer in {gone.parent}. Press Compare to make them again; "
                    "the scores in the table are those of before."
                )

    def column(self, label: str) -> ModelColumn | None:
        """Return the model of the table called `label`."""
        return next((column for column in self.columns if column.label == label), None)

    @property
    def _ticked(self) -> list[KnownModel]:
        return [entry for entry in self.entries if entry.model in self.chosen]

    def _columns_of(self, entries: Sequence[KnownModel]) -> tuple[ModelColumn, ...]:
        """Return the models of a table, bases first."""
        bases = {base.found.file for base in bases_of(self.session, entries).values() if base.found}
        columns = [
            ModelColumn(
                one, self.colors.get(one.model) or MODELS[0], read_training(one.model, self._project), one.file in bases
            )
            for one in entries
        ]
        return tuple(sorted(columns, key=lambda column: not column.is_base))

    def _with_bases(self, models: Iterable[str], new: Collection[str]) -> set[str]:
        """Return `models` and, while there is room, what those that are `new` were finetuned from."""
        bases = bases_of(self.session, [entry for entry in self.entries if entry.model in new]).values()
        chosen = dict.fromkeys((*models, *(base.found.model for base in bases if base.found)))
        return set(list(chosen)[: max(MOST_MODELS, len(set(models)))])

    def _look_at_chosen(self) -> None:
        """Give colors to the chosen models, and see what they were finetuned from."""
        self.colors.give([entry.model for entry in self._ticked])
        self.bases = bases_of(self.session, self._ticked)

    def _request(self, project: Project, columns: Sequence[ModelColumn], images: ImageSet) -> CompareRequest:
        return CompareRequest(
            models=tuple(ComparedModel(label=one.label, model=one.entry.model) for one in columns),
            images=tuple(image.ref for image in map(project.image, images.names)),
            pairs=pairs_of(map(project.image, images.names)),
            cache=labels_folder(project),
            # which way round images are shown is left to each model, see `Session.appearance_of`
            config=self.session.seeing(PredictConfig(device=default_device(), instances=self.split)),
        )

    @property
    def is_of_other_channels(self) -> bool:
        """Whether the table tells of another channel than the one that is chosen now."""
        return bool(self.cells) and self._seen != self.session.channels

    def _begin(self, project: Project, columns: tuple[ModelColumn, ...], images: ImageSet) -> None:
        """Empty the table; nothing is emitted before the job has begun."""
        self.columns, self.images, self.cells, self._reading = columns, images.names, {}, None
        self._seen = self.session.channels
        self._stamps = {name: file_stamp(project.image(name).mask) for name in images.names}

    def _recall(self) -> None:
        """Show what is kept of the last comparison of the dataset, unless the user begins another one meanwhile."""
        session, project = self.session, self.session.project
        reading = self._reading = object()
        if project is None:
            return

        def show(last: LastComparison) -> None:
            if session.project is not None and self._reading is reading:
                self._show_last(session.project, last)

        recall_comparison(project, show, session.fail)

    def _show_last(self, project: Project, last: LastComparison) -> None:
        listed = {entry.file for entry in self.entries}
        self._added += [_file(model) for model in last.models if _file(model) not in listed]
        self._list_models()
        self._seen = last.channels
        entries = {entry.file: entry for entry in self.entries}
        shown = {model: entries[_file(model)] for model in last.models}
        self.colors.give([entry.model for entry in shown.values()])
        self._look_at_chosen()
        self.columns, self.images = self._columns_of(tuple(shown.values())), last.images
        cells = [replace(cell, model=shown[model].label) for (model, _), cell in last.cells.items()]
        self.cells = {(cell.model, cell.image): cell for cell in cells}
        self._stamps = {name: file_stamp(project.image(name).mask) for name in last.images if name not in last.outdated}
        self.split = last.split
        self.listed.emit()
        self.changed.emit()

    def _on_event(self, columns: tuple[ModelColumn, ...], event: Event) -> None:
        if isinstance(event, ImageCompared) and self.columns is columns:
            self.cells[event.model, event.image] = event
            self.changed.emit()

    def _on_end(self, project: Project, columns: tuple[ModelColumn, ...]) -> None:
        """Say what came of a comparison."""
        session = self.session
        if session.project is None or self.columns is not columns:
            self._on_end_of_left(project, columns)
            return
        failed = [cell for cell in self.cells.values() if cell.error is not None]
        missing = len(self.columns) * len(self.images) - len(self.cells)
        if failed:
            more = f" (and {len(failed) - 1} more, marked in the table)" if len(failed) > 1 else ""
            session.tell(f"{failed[0].model}, {failed[0].image}: {failed[0].error}{more}", "warning")
        elif missing:
            session.tell(f"Stopped: {missing} of {len(self.columns) * len(self.images)} predictions are missing.")
        else:
            self._keep_dice(session.project)
            session.tell(f"Compared {count_of(len(self.columns), 'model')} on {count_of(len(self.images), 'image')}.")
        self.changed.emit()

    def _on_end_of_left(self, project: Project, columns: tuple[ModelColumn, ...]) -> None:
        """Say that a comparison has ended whose table was given up for another dataset, and show it if that is back."""
        if self.session.is_still_open(project, _title(columns), "Open it again to see the table."):
            self.session.tell(f"{_title(columns)} has ended.")
            self._recall()  # what was read when the dataset came back is only what there was by then

    def _keep_dice(self, project: Project) -> None:
        """Enter the scores of the model that predicts into the table of images."""
        column = next((one for one in self.columns if one.entry.model == self.session.predictor), None)
        cells = [self.cells.get((column.label, name)) for name in self.images] if column is not None else []
        dice = {cell.image: cell.dice for cell in cells if cell is not None and cell.dice is not None}
        if dice:
            project.set_dice(dice)
            self.session.images_changed.emit()

    def _list_models(self) -> None:
        before = {entry.model for entry in self.entries}
        self.entries = list_models_to_compare(self.session, self._added)
        known = {entry.model for entry in self.entries}
        new = [entry.model for entry in self.entries if entry.is_trained_here and entry.model not in before]
        new = new if len(new) == 1 and len(self.chosen) < MOST_MODELS else []
        self.chosen = self._with_bases((self.chosen & known) | set(new), new)
        if self._is_fresh:
            first = first_models(self.session.history, self.entries)[-(MOST_MODELS - 1) :]
            self.chosen = self._with_bases(first, first) if first else {self.session.model} & known
        self._look_at_chosen()

    def _list_images(self) -> None:
        project = self.session.project
        self.sets = image_sets(project, self.session.current) if project else ()
        if self._names:
            self.sets = (*self.sets, ImageSet(CHOSEN, f"Chosen images ({len(self._names)})", self._names))

    def _on_project_changed(self) -> None:
        before, self._project = self._project, self.session.project
        if before is not None and self.session.is_open(before) and self._are_there((*self.images, *self._names)):
            self.refresh()
            return
        self.columns, self.images, self.cells, self._set_key, self._names = (), (), {}, "", ()
        self._is_fresh = True
        self.colors = Colors()
        self.refresh()
        self.changed.emit()
        self._recall()

    def _are_there(self, names: tuple[str, ...]) -> bool:
        """Tell whether all of these images are still in the dataset, which was opened anew."""
        return self.session.project is not None and set(names) <= set(self.session.project.names)

    def _on_images_changed(self) -> None:
        self._list_images()
        self.listed.emit()


def _title(columns: tuple[ModelColumn, ...]) -> str:
    return f"Comparing {count_of(len(columns), 'model')}"


def _file(model: str) -> Path:
    return find_model_file(model).absolute()
