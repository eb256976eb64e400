"""The models that a user can choose: those that ship, those of this dataset's trainings and curves, and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from ...errors import FinetuneError
from ...models.card import FileCard, find_model_file, read_card
from ...models.names import unique_names
from ...models.parents import find_parent
from ...models.zoo import list_models
from ...text import number
from .history import History
from .session import Session

_FILES = "Models (*.safetensors *.zip *.pth *.pt);;All files (*)"
LOAD_TIP = (
    "Choose a model file or package made by this program, a PAULow .pth file, or a package of another program with a "
    "network in ONNX, which can only predict."
)
TRAININGS, CURVES = "Finetuned on this dataset", "Learning curve"
SHIPPED, FILES = "Shipped", "Recent files"


@dataclass(frozen=True)
class KnownModel:
    """A model under the name by which all docks, tables, figures and files know it.

    Parameters
    ----------
    model
        Its file, or the name of one that ships.
    label
        What it is called; no other known model is called so.
    tip
        Where it comes from.
    group
        The heading under which it is listed.
    details
        What else tells it from others.
    count
        Number of images that it was finetuned with.
    """

    model: str
    label: str = ""
    tip: str = ""
    group: str = ""
    details: str = ""
    count: int = 0

    @property
    def text(self) -> str:
        """All of it in a line."""
        return " · ".join(filter(None, (self.label, self.details)))

    @property
    def is_trained_here(self) -> bool:
        """Tell whether it comes from a training or a learning curve of this dataset."""
        return self.group in (TRAININGS, CURVES)

    @property
    def file(self) -> Path:
        """Its file, be it there or not."""
        return find_model_file(self.model).absolute()


def known_models(session: Session, files: Iterable[str | Path] = ()) -> tuple[KnownModel, ...]:
    """Return all models that a user may mean, each once and under a name of its own.

    Those that ship, of this dataset's trainings and of its learning curves (oldest first), and files: those used
    lately, the bases of trainings, what is chosen in the session, and `files`.
    """
    history = session.history
    bases = (base for run in history.trainings if (base := run.request.checkpoint) and find_model_file(base).is_file())
    others = (*files, *session.recent.paths, *bases, session.model, session.predictor)
    trained = (*_trained(history), *_mixes(history), *_of_damaged(history), *_of_curves(history))
    found = (*_shipped(), *trained, *map(_in_file, others))
    distinct = {one.file: one for one in reversed(found)}
    known = [one for one in found if distinct[one.file] is one]
    names = unique_names(one.model for one in known)
    return tuple(replace(one, label=names[one.model]) for one in known)


def name_of_model(session: Session, model: str | Path) -> str:
    """Return what `model` is called in this session."""
    file = find_model_file(model).absolute()
    return next(one.label for one in known_models(session, [model]) if one.file == file)


def parent_of(session: Session, card: FileCard) -> KnownModel | None:
    """Return the model that the one of `card` was finetuned from, by its weights; None if it is gone."""
    known = {one.file: one for one in known_models(session)}
    found = find_parent(card, known)
    return None if found is None else known[found]


def _shipped() -> Iterator[KnownModel]:
    for name in list_models():
        yield KnownModel(name, tip=f"Comes with this program: {name}", group=SHIPPED)


def _in_file(path: str | Path) -> KnownModel:
    return KnownModel(str(path), tip=str(path), group=FILES)


def _trained(history: History) -> Iterator[KnownModel]:
    for run in history.trainings:
        if run.model is not None and not (run.end and run.end.kept_raw):  # else it is its base
            dice = run.end.finetuned_dice if run.end else None
            details = "" if dice is None else f"Dice {number(dice)}"
            tip = f"Finetuned on {run.when}\n{run.model}"
            yield KnownModel(str(run.model), "", tip, TRAININGS, details, run.image_count)


def _mixes(history: History) -> Iterator[KnownModel]:
    for run, file in history.mixes:
        try:
            dice = read_card(file).provenance.scores.get("val_dice")
        except FinetuneError:  # a file of another program that happens to be called so
            continue
        tip = f"A mix of base and model of the finetuning of {run.when}\n{file}"
        details = "" if dice is None else f"Dice {number(dice)}"
        yield KnownModel(str(file), "", tip, TRAININGS, details, run.image_count)


def _of_damaged(history: History) -> Iterator[KnownModel]:
    for run, reason in history.unreadable:
        if run.is_finished:
            tip = f"{run.result_path}\n{reason}"
            yield KnownModel(str(run.result_path), "", tip, TRAININGS, "its run cannot be read")


def _of_curves(history: History) -> Iterator[KnownModel]:
    for study in reversed(history.studies):
        for arm, file in study.models.items():
            yield KnownModel(str(file), tip=f"Of a learning curve\n{file}", group=CURVES, count=arm.count)


def ask_for_model(parent: QWidget) -> Path | None:
    """Return the file that the user chooses, None if the user does not want to."""
    path, _ = QFileDialog.getOpenFileName(parent, "Choose a model", "", _FILES)
    return Path(path) if path else None


def accept_model(session: Session, path: Path) -> Path | None:
    """Remember the model in a file and return its whole path; one that is no model is refused in a sentence."""
    try:
        read_card(path)
    except FinetuneError as error:
        session.fail(error)
        return None
    session.recent.add(path)
    return path.absolute()
