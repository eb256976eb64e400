"""The models that can be compared: each under a short label, with a color that stays its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...colors import MODELS
from ...errors import FinetuneError
from ...models.card import find_model_file, read_card
from ...project.project import Project
from ...project.question_plan import images_seen
from ..session.history import History
from ..session.known_models import KnownModel, curve_models, model_files, shipped_models, trained_models

_FIRST_TRAININGS = 4
RAW, BASE = "raw", "base"  # the base of finetunings, and one that was itself finetuned


@dataclass(frozen=True)
class Training:
    """What is known of a model's training: number of new images, seed, preset, and names in the open dataset."""

    count: int = 0
    seed: int = 0
    preset: str = ""
    images: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ModelColumn:
    """A model of the table: as it is listed, in its color, and what it was trained with."""

    entry: KnownModel
    color: str
    training: Training

    @property
    def label(self) -> str:
        """What it is called."""
        return self.entry.label


def list_models_to_compare(history: History, base: str, files: Iterable[Path] = ()) -> list[KnownModel]:
    """Return the base, the models of this dataset's trainings and learning curves, those of `files`, and the shipped.

    Trainings are in the order of their number of images, and then the older ones first.
    """
    label = BASE if read_training(base, history.project).count else RAW
    tip = f"The model that finetunings start from: {find_model_file(base).stem}"
    trained = sorted((*trained_models(history), *curve_models(history)), key=lambda known: known.count)
    return list(_distinct([KnownModel(base, label, tip), *trained, *model_files(files), *shipped_models()]))


def read_training(model: str, project: Project | None) -> Training:
    """Return what the file of `model` says of its training, and which images of `project` took part in it.

    The number of images is 0 for a base, and all is empty for a file that cannot be read.
    """
    try:
        card = read_card(model)
    except FinetuneError:
        return Training()
    origin = card.provenance
    count = len(origin.images) if card.is_finetuned else 0
    seen = images_seen(card, project) if project else frozenset()
    return Training(count, origin.seed or 0, str(origin.config.get("preset", "")), seen)


def first_models(history: History, base: str, entries: Iterable[KnownModel]) -> list[str]:
    """Return the base, and the models of the last learning curve or, without one, of the last trainings."""
    study = next(iter(history.studies), None)
    if study is not None and study.models:
        return [base, *(str(file) for arm, file in study.models.items() if arm.seed == study.plan.config.seed)]
    return [base, *[entry.model for entry in entries if entry.is_trained_here][-_FIRST_TRAININGS:]]


class Colors:
    """Gives each model that is looked at a color, which it keeps; those looked at together have different ones."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def get(self, model: str) -> str | None:
        """Return the color of `model`, None if it was not looked at yet."""
        return self._of.get(model)

    def give(self, models: Sequence[str]) -> None:
        """Give different colors to `models`, which are looked at together; unused ones first."""
        taken: set[str] = set()
        waiting = []
        for model in models:
            color = self._of.get(model)
            if color is None or color in taken:
                waiting.append(model)
            else:
                taken.add(color)
        for model in waiting:
            free = [color for color in MODELS if color not in taken] or list(MODELS)
            unused = [color for color in free if color not in self._of.values()]
            self._of[model] = (unused or free)[0]
            taken.add(self._of[model])


def _distinct(entries: Iterable[KnownModel]) -> Iterator[KnownModel]:
    """Leave out models that came before, and number labels that came before."""
    models: set[Path] = set()
    labels: dict[str, int] = {}
    for entry in entries:
        file = find_model_file(entry.model).absolute()
        if file in models:
            continue
        models.add(file)
        labels[entry.label] = number = labels.get(entry.label, 0) + 1
        label = entry.label if number == 1 else f"{entry.label} ({number})"
        yield replace(entry, label=label)
