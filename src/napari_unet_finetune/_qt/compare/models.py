"""The models that can be compared: each under a short label, with a color that stays its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...colors import MODELS
from ...errors import FinetuneError
from ...evaluation.rows import BASE
from ...models.card import find_model_file, read_card
from ...project.project import Project
from ...project.uses import Known
from ..session.history import History
from ..session.known_models import CURVES, FILES, SHIPPED, TRAININGS, KnownModel, known_models, parent_of
from ..session.session import Session

_FIRST_TRAININGS = 4
_ORDER = {TRAININGS: 0, CURVES: 0, FILES: 1, SHIPPED: 2}


@dataclass(frozen=True)
class Training:
    """What is known of a model's training: number of new images, seed, preset, and which of the open dataset it saw."""

    count: int = 0
    seed: int = 0
    preset: str = ""
    known: Known = field(default_factory=Known)


@dataclass(frozen=True)
class Base:
    """What a model was finetuned from: its name at that time, and the model, None if that is gone."""

    name: str
    found: KnownModel | None


@dataclass(frozen=True)
class ModelColumn:
    """A model of the table: as it is listed, in its color, what it was trained with, and whether it is a base here."""

    entry: KnownModel
    color: str
    training: Training
    is_base: bool = False

    @property
    def label(self) -> str:
        """What it is called."""
        return self.entry.label

    @property
    def tag(self) -> str:
        """What it is among the models beside it."""
        return BASE if self.is_base else ""

    @property
    def title(self) -> str:
        """Name and tag."""
        return f"{self.label} ({BASE})" if self.is_base else self.label


def list_models_to_compare(session: Session, files: Iterable[Path] = ()) -> list[KnownModel]:
    """Return the base, the models of this dataset's trainings and learning curves, those of `files`, and the shipped.

    Trainings are in the order of their number of images, and then the older ones first.
    """
    known, base = known_models(session, files), find_model_file(session.model).absolute()
    return sorted(known, key=lambda one: (one.file != base, _ORDER[one.group], one.count))


def bases_of(session: Session, models: Iterable[KnownModel]) -> dict[str, Base]:
    """Return what each of `models` that was finetuned came from; others are left out."""
    found = {}
    for one in models:
        try:
            card = read_card(one.model)
        except FinetuneError:
            continue
        if card.is_finetuned:
            found[one.model] = Base(card.provenance.parent or "a model without a name", parent_of(session, card))
    return found


def read_training(model: str, project: Project | None) -> Training:
    """Return what the file of `model` says of its training, and which images of `project` took part in it.

    A base that has learned from images of `project`, without another one below it, is a model of these images; any
    other has none and no preset. All is empty for a file that cannot be read.
    """
    try:
        card = read_card(model)
    except FinetuneError:
        return Training()
    origin, known = card.provenance, Known.of(card, project) if project else Known()
    count, preset = card.image_count, card.preset
    if not card.is_finetuned and (seen := known.trained | known.held_out):
        pieces = (piece.name for image in project.images for piece in image.pieces) if project else ()
        count, preset = len(seen.intersection(pieces)), str(origin.config.get("preset", ""))
    return Training(count, origin.seed or 0, preset, known)


def first_models(history: History, entries: Iterable[KnownModel]) -> list[str]:
    """Return the models of the last learning curve or, without one, of the last trainings."""
    study = next(iter(history.studies), None)
    if study is not None and study.models:
        return [str(file) for arm, file in study.models.items() if arm.seed == study.plan.config.seed]
    return [entry.model for entry in entries if entry.is_trained_here][-_FIRST_TRAININGS:]


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
