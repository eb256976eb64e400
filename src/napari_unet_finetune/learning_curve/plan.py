"""What a study trains and tests: the models it makes, and where its images come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checked_json import checked, parse_json
from ..data.folders import AnnotatedFolder, open_folder
from ..data.pairing import Pair
from ..errors import DataError, RunError
from ..io.images import ImageRef
from ..runs.request import CurveRequest, FinetuneRequest
from ..text import count_of

# Images of a folder of Dataset 1 that are only tested: the last ones, as in the study.
OLD_TESTS = 10


@dataclass(frozen=True)
class Arm:
    """One model of the study: how many images, which seed."""

    count: int
    seed: int

    @property
    def label(self) -> str:
        """Name for folders."""
        return "raw" if self.count == 0 else f"{self.count:02d}-images-seed-{self.seed}"

    @property
    def title(self) -> str:
        """What it is called while it is trained or tested."""
        return "Testing the base" if self.count == 0 else f"{count_of(self.count, 'image')}, seed {self.seed}"


def arms_of(plan: CurveRequest) -> list[Arm]:
    """Return all models of a study; the raw model has one seed only."""
    first = plan.config.seed
    seeds = range(first, first + plan.seeds)
    return [Arm(count, seed) for count in plan.counts for seed in (seeds if count else [first])]


def tests_of(plan: CurveRequest) -> dict[int, AnnotatedFolder]:
    """Return the test images of Dataset 1, where there are any, and of Dataset 2."""
    pairs = {1: plan.old_test, 2: plan.test}
    return {dataset: AnnotatedFolder.of(tests) for dataset, tests in pairs.items() if tests}


def base_training(plan: CurveRequest) -> FinetuneRequest:
    """Return how the base is trained, where the plan names none: from nothing, with images of Dataset 1."""
    config = plan.config if plan.base_config is None else plan.base_config
    return FinetuneRequest(task="train", pairs=plan.old_train, model=plan.model, config=config)


def training_of(plan: CurveRequest, arm: Arm, base: str) -> FinetuneRequest:
    """Return how the model of `arm` is trained: with the first images of Dataset 2."""
    scratch = plan.config.preset == "from scratch"
    return FinetuneRequest(
        task="train" if scratch else "finetune",
        pairs=plan.train[: arm.count],
        unannotated=_unannotated(plan, arm) if plan.config.unannotated_share else (),
        checkpoint=None if scratch else base,
        model=plan.model if scratch else None,
        config=plan.config.model_copy(update={"seed": arm.seed}),
    )


def _unannotated(plan: CurveRequest, arm: Arm) -> tuple[ImageRef, ...]:
    """Return the images of Dataset 2 with which a model of more images is trained: without masks for this one."""
    return tuple(pair.image for pair in plan.train[arm.count :] if pair.region is None)


def with_images(plan: CurveRequest) -> CurveRequest:
    """Return the plan with the test images of its folder of Dataset 1 one by one, and check that there are enough.

    Raises
    ------
    DataError
        If there are too few, or Dataset 1 has no pairs.
    """
    if not plan.test:
        raise DataError("There is no image to test on. Give at least one annotated image the role test.")
    if max(plan.counts) > len(plan.train):
        raise DataError(f"{len(plan.train)} images to train with are too few for {max(plan.counts)}.")
    if plan.dataset1 is None:
        return plan
    old = open_dataset(plan.dataset1).pairing.pairs[-OLD_TESTS:]
    return plan.model_copy(update={"old_test": old, "dataset1": None})


def pairs_of_datasets(
    dataset1: Path, dataset2: Path, most: int, *, test1: int = 6, test2: int = 11, base_count: int = 25
) -> dict[str, tuple[Pair, ...]]:
    """Return the images of a plan on two folders: the last ones of each are only tested.

    Parameters
    ----------
    most
        How many images of Dataset 2 are trained with at most.
    base_count
        How many images of Dataset 1 the base is trained with; 0 where a base is given.

    Raises
    ------
    DataError
        If a dataset has no pairs or too few.
    """
    old, new = open_dataset(dataset1).pairing.pairs, open_dataset(dataset2).pairing.pairs
    _check_size(old, test1 + (1 if base_count else 0), dataset1)
    _check_size(new, test2 + most, dataset2)
    return {
        "old_train": old[:-test1][:base_count],
        "old_test": old[-test1:],
        "train": new[:most],
        "test": new[-test2:],
    }


def read_plan(file: Path) -> CurveRequest:
    """Return the plan that is kept in a study, of an earlier version too.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    try:
        fields = parse_json(file.read_bytes(), dict[str, Any])
        fields = _of_folders(fields) if "dataset2" in fields else _with_checkpoint(fields)
        plan: CurveRequest = checked(fields, CurveRequest)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise RunError(f"{file.parent}: this is not the folder of a study. Choose another one.") from error
    return plan


def _with_checkpoint(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a plan of an earlier version, in which the base had another name."""
    return {"checkpoint" if name == "base" else name: value for name, value in fields.items()}


def _of_folders(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a plan of an earlier version, which named two folders; without images if these are gone."""
    folders = Path(fields.pop("dataset1")), Path(fields.pop("dataset2"))
    sizes = {name: fields.pop(name) for name in ("test1", "test2", "base_count")}
    fields = _with_checkpoint(fields)
    if fields["checkpoint"]:
        sizes["base_count"] = 0
    try:
        return fields | pairs_of_datasets(*folders, max(fields["counts"]), **sizes)
    except DataError:
        return fields


def open_dataset(folder: Path) -> AnnotatedFolder:
    """Open a folder with `images` and `masks` in it, or one that holds both kinds of files.

    Raises
    ------
    DataError
        If it has no pairs.
    """
    images, masks = folder / "images", folder / "masks"
    return open_folder(images, masks) if images.is_dir() and masks.is_dir() else open_folder(folder, folder)


def _check_size(images: Sequence[object], needed: int, path: Path) -> None:
    if len(images) < needed:
        raise DataError(
            f"{path}: {len(images)} images with masks are too few for {needed}. "
            "Ask for fewer images to train or test with."
        )
