"""What a job is asked to do, as it is written into its folder: values and absolute paths only, no arrays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from ..checked_json import json_text, parse_json
from ..config import ChannelRule, DeviceName, ExportConfig, FinetuneConfig, ModelConfig, PredictConfig
from ..data.masks import STROKES
from ..data.pairing import FilePair, Pair
from ..errors import RunError
from ..events import JobEnded
from ..io.disk import write_file
from ..io.images import ImageRef
from ..io.regions.region import InView
from ..result import Result


def write_result(folder: Path, result: Result) -> JobEnded:
    """Write the result of a job and return the event that says where it is.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    write_file(folder / RESULT, json_text(result.to_json()), error=RunError)
    return JobEnded(folder / RESULT)


REQUEST, RESULT = "request.json", "result.json"
IMAGE: TypeAdapter[ImageRef | None] = TypeAdapter(ImageRef | None)
VIEW: TypeAdapter[InView] = TypeAdapter(InView)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _older_form(cls, values: Any) -> Any:
        return from_older_form(values, cls.model_fields) if isinstance(values, dict) else values


def from_older_form(values: dict[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return what a request or plan of an earlier version holds in the form of today.

    There, `sparse` said of all pairs that their masks hold strokes; an image that was suggested had its name in
    `names`, and one that was compared held name and mask beside its file.
    """
    values, images = dict(values), values.get("images")
    if "names" in values and "names" not in fields:
        names = values.pop("names") or [""] * len(values["images"])
        values["images"] = [_called(image, name) for image, name in zip(values["images"], names, strict=True)]
    if isinstance(images, Sequence) and any(isinstance(one, dict) and "image" in one for one in images):
        values["images"] = [_called(one["image"], one["name"]) for one in images]
        masks = zip(values["images"], (one.get("mask") for one in images), strict=True)
        values["pairs"] = [{"image": image, "mask": mask} for image, mask in masks if mask]
    is_of_folders = "sparse" in fields and not values.get("pairs")
    if not is_of_folders and values.pop("sparse", False):
        for name in _PAIRS.intersection(values):
            values[name] = [_as_strokes(pair) for pair in values[name] or ()] or values[name]
    return values


_PAIRS = frozenset({"pairs", "train", "test", "tests"})


def _called(image: Any, name: str) -> Any:
    return {**image, "called": name} if isinstance(image, dict) else replace(image, called=name)


def _as_strokes(pair: Any) -> Any:
    return {"meaning": asdict(STROKES), **pair} if isinstance(pair, dict) else replace(pair, meaning=STROKES)


class FinetuneRequest(_Request):
    """A training; images come from two folders, or pair by pair.

    `only` names the images of the folders to use, None takes all; `sparse` says that their masks hold strokes.
    `unannotated` are images without masks, where these come pair by pair; in a folder they lie among the others.
    """

    version: int = 1
    task: Literal["train", "finetune"]
    images: Path | None = None
    masks: Path | None = None
    pairs: tuple[Pair, ...] | None = None
    sparse: bool = False
    only: tuple[str, ...] | None = None
    checkpoint: str | None = None
    model: ModelConfig | None = None
    base_images: Path | None = None
    base_masks: Path | None = None
    unannotated: tuple[ImageRef, ...] = ()
    config: FinetuneConfig

    @property
    def holds_strokes(self) -> bool:
        """Whether it learns from strokes, and not from whole masks alone."""
        return self.sparse or any(pair.meaning.sparse for pair in self.pairs or ())

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.images is None) != (self.masks is None):
            raise ValueError("images need their masks, and masks their images: give both or neither")
        if (self.images is None) == (self.pairs is None):
            raise ValueError("give a folder of images and one of masks, or pairs of files, and not both")
        return self

    @model_validator(mode="after")
    def _old_masks_with_images(self) -> Self:
        if self.base_masks is not None and self.base_images is None:
            raise ValueError("masks of the old dataset need their images: give both, or the images alone")
        return self


class PredictRequest(_Request):
    """Probabilities of some images, each written as one array into the folder of the job.

    `ahead` are images that are likely to be asked for next; a process that stays looks at them while it has no job.
    """

    task: Literal["predict"] = "predict"
    checkpoint: str
    images: tuple[ImageRef, ...]
    ahead: tuple[ImageRef, ...] = ()
    config: PredictConfig = PredictConfig()


class PredictFolderRequest(_Request):
    """Labels files for all images of a folder or stack; see `inference.folder.predict_folder`."""

    task: Literal["predict_folder"] = "predict_folder"
    checkpoint: str
    source: Path
    out: Path
    overwrite: bool = False
    chunk: int | None = None
    first: InView | None = None
    config: PredictConfig = PredictConfig()


class CheckRequest(_Request):
    """A check-up of annotated images and of those without a mask; see `checks.checkup`."""

    task: Literal["check"] = "check"
    pairs: tuple[Pair, ...] = ()
    images: tuple[ImageRef, ...] = ()
    checkpoint: str | None = None
    channels: ChannelRule | None = None
    test_images: tuple[ImageRef, ...] = ()


class SuggestRequest(_Request):
    """Which of `images` to annotate next, `annotated` being the names of those that are; see `suggest`."""

    task: Literal["suggest"] = "suggest"
    checkpoint: str
    images: tuple[ImageRef, ...]
    annotated: tuple[str, ...] = ()
    count: int = Field(5, ge=1)
    mode: Literal["auto", "start", "next"] = "auto"
    channels: ChannelRule | None = None
    device: DeviceName = "auto"


class MeasureRequest(_Request):
    """A table of the objects in labels files; see `measure.files`."""

    task: Literal["measure"] = "measure"
    files: tuple[FilePair, ...]
    out: Path
    overwrite: bool = False


class ComparedModel(_Request):
    """A model, and the words by which tables and figures know it."""

    label: str
    model: str


class CompareRequest(_Request):
    """Every model on every image, scored on the `pairs`; labels are kept in `cache`, see `comparison.run`."""

    task: Literal["compare"] = "compare"
    models: tuple[ComparedModel, ...]
    images: tuple[ImageRef, ...]
    pairs: tuple[Pair, ...] = ()
    cache: Path
    config: PredictConfig = PredictConfig()


_MOST_IMAGES = 100_000  # that a study asks for


class CurveRequest(_Request):
    """Trainings on growing numbers of images, all tested on the same: the plan of a study, which its folder keeps.

    Attributes
    ----------
    train
        Images to train with, of which each model takes the first.
    test
        Images of the new dataset that all models are tested on.
    old_test
        Those of the old dataset. Without any, what a model forgets is known only from the patches that its base carries
        along.
    dataset1
        A folder with images and masks of the old dataset, or with folders `images` and `masks`; its last images
        become `old_test` when the study begins.
    checkpoint
        The base; without it, one is trained with `old_train`, `model` and `base_config`.
    counts
        Numbers of images to finetune with; 0 is the base as it is.
    seeds
        Trainings for each number.
    config
        Settings of the trainings; their seeds count up from its.
    """

    task: Literal["curve"] = "curve"
    train: tuple[Pair, ...] = ()
    test: tuple[Pair, ...] = ()
    old_train: tuple[Pair, ...] = ()
    old_test: tuple[Pair, ...] = ()
    dataset1: Path | None = None
    counts: tuple[Annotated[int, Field(ge=0, le=_MOST_IMAGES)], ...] = Field(max_length=1000)
    seeds: int = Field(1, ge=1, le=1000)
    checkpoint: str | None = None
    model: ModelConfig | None = None
    config: FinetuneConfig
    base_config: FinetuneConfig | None = None


class QuestionRequest(_Request):
    """A question about a model and annotated images; see `evaluation.estimate`, `questions`.

    `config` are the settings of the trainings; an estimate takes device, precision and seed from it. `folds` None
    leaves one image out at a time; `maps` is a folder for error maps. `steps` and `seconds` are those of the trial
    whether it can learn at all, None for its own.
    """

    task: Literal["estimate", "can_learn", "cross_validate"]
    checkpoint: str
    pairs: tuple[Pair, ...]
    config: FinetuneConfig = FinetuneConfig()
    folds: int | None = None
    steps: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)
    maps: Path | None = None


class WeighRequest(_Request):
    """What models between the base of the finetuning in `run` and its model are worth; see `questions.weigh`.

    With a `share`, that model is written into the new file `out`.
    """

    task: Literal["weigh"] = "weigh"
    run: Path
    share: float | None = Field(None, ge=0, le=1)
    out: Path | None = None

    @model_validator(mode="after")
    def _one_file(self) -> Self:
        if (self.share is None) != (self.out is None):
            raise ValueError("a model of one share needs a file, and a file a share: give both or neither")
        return self


class ReportRequest(_Request):
    """A page about the run or study in `run`; see `report.write`."""

    task: Literal["report"] = "report"
    run: Path
    out: Path | None = None
    tests: tuple[Pair, ...] = ()
    device: DeviceName = "auto"


class ExportRequest(_Request):
    """A model for other programs in the new file `out`; see `share.export`."""

    task: Literal["export"] = "export"
    checkpoint: str
    out: Path
    config: ExportConfig = ExportConfig()


class FigureRow(_Request):
    """One image of a figure, and the labels file of each model under the title of its column."""

    pair: Pair
    predictions: tuple[tuple[str, Path], ...]


class FigureRequest(_Request):
    """Pictures for a paper: one row per image in `out`, the learning curve of the study in `study` in `curve`."""

    task: Literal["figure"] = "figure"
    rows: tuple[FigureRow, ...] = ()
    out: Path | None = None
    study: Path | None = None
    curve: Path | None = None


JobRequest = Annotated[
    FinetuneRequest
    | PredictRequest
    | PredictFolderRequest
    | CheckRequest
    | SuggestRequest
    | MeasureRequest
    | CompareRequest
    | CurveRequest
    | ExportRequest
    | FigureRequest
    | QuestionRequest
    | ReportRequest
    | WeighRequest,
    Field(discriminator="task"),
]


TRAININGS = frozenset({"train", "finetune", "curve", "can_learn", "cross_validate"})
"""Tasks that train a network."""


def write_request(folder: Path, request: BaseModel) -> None:
    """Make `folder` and keep `request` in it.

    Raises
    ------
    RunError
        If the folder cannot be written.
    """
    write_file(folder / REQUEST, json_text(request, indent=2), error=RunError)


def read_request(folder: Path) -> Any:
    """Return the request in `folder`, of whatever kind it is.

    Raises
    ------
    RunError
        If the folder holds no readable request.
    """
    file = folder / REQUEST
    try:
        return parse_json(file.read_bytes(), JobRequest)
    except OSError as error:
        raise RunError(
            f"{folder}: this is not the folder of a run, for it holds no readable {REQUEST}. Choose a run folder."
        ) from error
    except ValueError as error:
        raise RunError(f"{file}: the request cannot be read ({error}). Start a new run.") from error
