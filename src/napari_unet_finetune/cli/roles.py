"""What commands heed of a dataset that was annotated in napari: what its images were chosen for and used for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..data.painted import dataset_folder
from ..errors import DataError, FinetuneError
from ..models.card import read_card
from ..project.project import NotWritableError, Project
from ..project.training_plan import MASKS, TrainingPlan, copy_masks, plan_training
from ..project.uses import NOTHING, Known
from ..runs.request import FinetuneRequest

_OF_OTHERS = (
    "{} belongs to a dataset of other images, so what its images were used for in napari is not heeded. Give the "
    "folder of its images to have it heeded."
)


@dataclass(frozen=True)
class Roles:
    """The dataset to which two folders belong; ``None`` if they belong to none, or if `note` says why it is left."""

    project: Project | None = None
    note: str = ""

    @classmethod
    def of(cls, images: Path, masks: Path) -> Roles:
        """Return the dataset annotated in napari whose images and masks are in these folders.

        Raises
        ------
        DataError
            If it has a record that cannot be read.
        """
        folder = dataset_folder(masks)
        if folder is None:
            return cls()
        try:
            project = Project.open(folder)
        except NotWritableError as error:
            return cls(note=f"What its images were used for in napari is not heeded. {error}")
        except DataError:  # its images are gone, as far as the record tells; those that are given are there
            return cls(note=_OF_OTHERS.format(masks))
        is_same = images.exists() and project.source.samefile(images)
        return cls(project) if is_same else cls(note=_OF_OTHERS.format(masks))


@dataclass(frozen=True)
class Heeded:
    """A training on two folders as it is in napari, and what there is to say of it."""

    request: FinetuneRequest
    sentences: tuple[str, ...] = ()
    project: Project | None = None
    plan: TrainingPlan | None = None

    def remember(self) -> None:
        """Enter into the dataset, if there is one, what the training that begins uses its images for."""
        if self.project is not None and self.plan is not None:
            self.project.set_used(self.plan.uses)


def heed_roles(request: FinetuneRequest, folder: Path) -> Heeded:
    """Return a training on two folders as it is in napari, if their masks were painted there.

    Images are used for what they were chosen for and used for before, and masks are copied into the run `folder`.

    Raises
    ------
    DataError
        If the roles leave nothing to train on, or the record of the dataset cannot be read.
    RunError
        If a mask cannot be copied.
    """
    assert request.images is not None
    assert request.masks is not None
    roles = Roles.of(request.images, request.masks)
    project, config = roles.project, request.config
    if project is None:
        return Heeded(request, tuple(filter(None, [roles.note])))
    if config.held_out is not None:
        return Heeded(request, ("The setting held_out is used, and not what images were used for in napari.",))
    plan = plan_training(project, config, _known_to(request.checkpoint, project), sparse=request.sparse)
    if plan.problem:
        raise DataError(plan.problem)
    asked = {
        "images": None,
        "masks": None,
        "sparse": False,
        "pairs": tuple(copy_masks(plan.pairs, folder / MASKS)),
        "config": config.model_copy(update={"held_out": tuple(image.name for image in plan.held_out)}),
    }
    return Heeded(request.model_copy(update=asked), plan.sentences, project, plan)


def _known_to(base: str | None, project: Project) -> Known:
    """Return which images a base has seen; nothing of one that cannot be read, which is said when it is loaded."""
    if base is not None:
        with suppress(FinetuneError):
            return Known.of(read_card(base), project)
    return NOTHING
