"""The models that a user can choose: those that ship, those of this dataset's trainings and curves, and files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from ...errors import FinetuneError
from ...models.card import read_card
from ...models.zoo import list_models
from ...text import count_of
from .history import History
from .session import Session

_FILES = "Models (*.safetensors *.pth *.pt);;All files (*)"
_TRAININGS, _CURVES = "Finetuned on this dataset", "Learning curve"


@dataclass(frozen=True)
class KnownModel:
    """A model under the words by which a user knows it.

    Parameters
    ----------
    model
        Its file, or the name of one that ships.
    label
        What tables, figures and layers call it.
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
    label: str
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
        return self.group in (_TRAININGS, _CURVES)


def shipped_models() -> list[KnownModel]:
    """Return the models that ship."""
    return [KnownModel(name, name, f"Comes with this program: {name}", "Shipped") for name in list_models()]


def model_files(paths: Iterable[Path]) -> list[KnownModel]:
    """Return the models in files."""
    return [KnownModel(str(path), path.stem, str(path), "Recent files") for path in paths]


def trained_models(history: History) -> list[KnownModel]:
    """Return the models of the dataset's trainings, oldest first."""
    found = []
    for run in history.trainings:
        if run.model is not None:
            dice = run.end.finetuned_dice if run.end else None
            details = f"{'' if dice is None else f'Dice {dice:.2f} · '}{run.when}"
            tip = f"Finetuned on {run.when}\n{run.model}"
            images = count_of(run.image_count, "image")
            found.append(KnownModel(str(run.model), images, tip, _TRAININGS, details, run.image_count))
    return found


def curve_models(history: History) -> list[KnownModel]:
    """Return the models of the dataset's learning curves, oldest first; of further seeds, the seed is told."""
    found = []
    for study in reversed(history.studies):
        first = min((arm.seed for arm in study.models), default=0)
        for arm, file in study.models.items():
            label = count_of(arm.count, "image") + ("" if arm.seed == first else f", seed {arm.seed}")
            found.append(KnownModel(str(file), label, f"Of a learning curve\n{file}", _CURVES, count=arm.count))
    return found


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
