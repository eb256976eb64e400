"""What a study trains and tests: its plan, the models it makes, and where its images come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..config import FinetuneConfig, ModelConfig
from ..data.folders import AnnotatedFolder, open_folder
from ..data.pairing import Pair
from ..errors import DataError
from ..runs.request import CurveRequest, FinetuneRequest, from_older_form
from ..text import count_of

# Images of a folder of Dataset 1 that are only tested: the last ones, as in the study.
OLD_TESTS = 10


class StudyPlan(BaseModel):
    """What a study does; kept in its folder, so that an interrupted one goes on with the same settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset1: Path
    dataset2: Path
    counts: tuple[int, ...] = (0, 5, 10, 15, 20)
    seeds: int = Field(3, ge=1)
    test1: int = Field(6, ge=1)
    test2: int = Field(11, ge=1)
    base_count: int = Field(25, ge=1)
    base: str | None = None
    model: ModelConfig = ModelConfig()
    config: FinetuneConfig
    base_config: FinetuneConfig

    def open(self) -> FolderSource:
        """Find the images.

        Raises
        ------
        DataError
            If a dataset has no pairs or too few.
        """
        old, new = (open_folder(path / "images", path / "masks") for path in (self.dataset1, self.dataset2))
        _check_size(old, self.test1 + (0 if self.base else 1), self.dataset1)
        _check_size(new, self.test2 + max(self.counts), self.dataset2)
        return FolderSource(self, old, new)


class CurvePlan(BaseModel):
    """A study on images that are named one by one, with a base that is there already.

    Parameters
    ----------
    train
        Images to train with, of which each model takes the first.
    test
        Images that all models are tested on.
    dataset1
        A folder with images and masks of the old dataset, or with folders `images` and `masks`; its last images are
        tested. Without it, what a model forgets is known only from the patches that its base carries along.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    dataset1: Path | None = None
    counts: tuple[int, ...] = (0, 5, 10, 15, 20)
    seeds: int = Field(1, ge=1)
    base: str
    config: FinetuneConfig

    @model_validator(mode="before")
    @classmethod
    def _older_form(cls, values: Any) -> Any:
        return from_older_form(values, cls.model_fields) if isinstance(values, dict) else values

    @classmethod
    def of(cls, request: CurveRequest) -> CurvePlan:
        """Return what `request` asks for."""
        fields = {name: getattr(request, name) for name in cls.model_fields if name != "base"}
        return cls(**fields, base=request.checkpoint)

    def open(self) -> PairSource:
        """Find the images.

        Raises
        ------
        DataError
            If there are too few, or Dataset 1 has no pairs.
        """
        if not self.test:
            raise DataError("There is no image to test on. Give at least one annotated image the role test.")
        if max(self.counts) > len(self.train):
            raise DataError(f"{len(self.train)} images to train with are too few for {max(self.counts)}.")
        old = None if self.dataset1 is None else _open_old(self.dataset1)
        return PairSource(self, old)


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


def arms_of(plan: StudyPlan | CurvePlan) -> list[Arm]:
    """Return all models of a study; the raw model has one seed only."""
    first = plan.config.seed
    seeds = range(first, first + plan.seeds)
    return [Arm(count, seed) for count in plan.counts for seed in (seeds if count else [first])]


class StudySource(Protocol):
    """Where the images of a study come from."""

    @property
    def tests(self) -> tuple[tuple[int, AnnotatedFolder], ...]:
        """Number and test images of each dataset."""

    def base_request(self) -> FinetuneRequest:
        """Return how the base is trained, where the plan names none."""

    def request(self, arm: Arm, base: str) -> FinetuneRequest:
        """Return how the model of `arm` is trained, with a nested subset of the images."""


@dataclass(frozen=True)
class FolderSource:
    """Two datasets, split as the study does: the last images of each are for testing only."""

    plan: StudyPlan
    old: AnnotatedFolder
    new: AnnotatedFolder

    @property
    def tests(self) -> tuple[tuple[int, AnnotatedFolder], ...]:
        """Number and test images of each dataset."""
        return (1, self.old[-self.plan.test1 :]), (2, self.new[-self.plan.test2 :])

    def base_request(self) -> FinetuneRequest:
        """Return how the base is trained: from nothing, with the first images of Dataset 1."""
        return FinetuneRequest(
            task="train",
            images=self.plan.dataset1 / "images",
            masks=self.plan.dataset1 / "masks",
            only=self.old.names[: -self.plan.test1][: self.plan.base_count],
            model=self.plan.model,
            config=self.plan.base_config,
        )

    def request(self, arm: Arm, base: str) -> FinetuneRequest:
        """Return how the model of `arm` is trained: with the first images of Dataset 2."""
        scratch = self.plan.config.preset == "from scratch"
        return FinetuneRequest(
            task="train" if scratch else "finetune",
            images=self.plan.dataset2 / "images",
            masks=self.plan.dataset2 / "masks",
            only=self.new.names[: arm.count],
            checkpoint=None if scratch else base,
            model=self.plan.model if scratch else None,
            config=self.plan.config.model_copy(update={"seed": arm.seed}),
        )


@dataclass(frozen=True)
class PairSource:
    """Images named one by one, and perhaps a folder of Dataset 1."""

    plan: CurvePlan
    old: AnnotatedFolder | None

    @property
    def tests(self) -> tuple[tuple[int, AnnotatedFolder], ...]:
        """Number and test images of each dataset; Dataset 1 only where it is given."""
        new = AnnotatedFolder.of(self.plan.test)
        return ((2, new),) if self.old is None else ((1, self.old[-OLD_TESTS:]), (2, new))

    def base_request(self) -> FinetuneRequest:
        """Refuse, for the base is given."""
        raise AssertionError(f"{self.plan.base} is the base")

    def request(self, arm: Arm, base: str) -> FinetuneRequest:
        """Return how the model of `arm` is trained: with the first images."""
        return FinetuneRequest(
            task="finetune",
            pairs=self.plan.train[: arm.count],
            checkpoint=base,
            config=self.plan.config.model_copy(update={"seed": arm.seed}),
        )


def _open_old(folder: Path) -> AnnotatedFolder:
    """Open a folder with `images` and `masks` in it, or one that holds both kinds of files."""
    images, masks = folder / "images", folder / "masks"
    return open_folder(images, masks) if images.is_dir() and masks.is_dir() else open_folder(folder, folder)


def _check_size(images: Sequence[object], needed: int, path: Path) -> None:
    if len(images) < needed:
        raise DataError(
            f"{path}: {len(images)} images with masks are too few for {needed}. "
            "Ask for fewer images to train or test with."
        )
