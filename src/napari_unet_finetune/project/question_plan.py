"""Questions about a dataset and its models: which images each is about, the job that answers it, and what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from ..checked_json import json_text, parse_json
from ..config import FinetuneConfig
from ..errors import RunError
from ..io.disk import write_file
from ..runs.request import CheckRequest, QuestionRequest, ReportRequest, SuggestRequest
from ..text import count_of
from .image import ROLES, Role, counted
from .project import Project, ProjectImage
from .training_plan import MASKS, copy_masks, pairs_of
from .uses import Known

Question = Literal["suggest", "check", "can_learn", "estimate", "cross_validate", "forecast", "report"]
QUESTIONS: tuple[Question, ...] = get_args(Question)
ASKED = "asked.json"
SUGGESTED_COUNT = 5
_FEWEST_TO_CROSS = 2


class Asked(BaseModel):
    """What was asked: of which model, about which images (in the order of the request), and that in words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: Question
    model: str = ""
    model_name: str = ""
    about: str = ""
    images: tuple[str, ...] = ()

    def keep(self, folder: Path) -> None:
        """Write this into the folder of the job; raises `RunError` if that fails."""
        write_file(folder / ASKED, json_text(self, indent=2), error=RunError)

    @classmethod
    def read(cls, folder: Path) -> Asked:
        """Return what was asked in the job of `folder`; raises `RunError` if it holds no question."""
        try:
            asked: Asked = parse_json((folder / ASKED).read_bytes(), cls)
        except (OSError, ValueError) as error:
            raise RunError(f"{folder}: there is no question here.") from error
        return asked


@dataclass(frozen=True)
class Subject:
    """The images a question is about, and that in words; or why it cannot be asked, in a sentence."""

    images: tuple[ProjectImage, ...] = ()
    about: str = ""
    problem: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(image.name for image in self.images)


def subject_of(question: Question, project: Project, known: Known) -> Subject:
    """Return which images of `project` a question is about, asked of a model that has seen `known`."""
    if question in ("suggest", "check"):
        return _whole(question, project)
    if question == "estimate":
        return _judged(project, known)
    images = _annotated(project, "auto", "train", "validation")
    if question == "cross_validate" and len(images) < _FEWEST_TO_CROSS:
        return Subject(problem=f"Annotate at least {_FEWEST_TO_CROSS} images.")
    if not images:
        return Subject(problem="Annotate at least 1 image.")
    all_of_them = _annotated(project, *ROLES)
    about = counted(all_of_them, "annotated image")
    return Subject(images, about if len(images) == len(all_of_them) else f"{len(images)} of {about}")


def _whole(question: Question, project: Project) -> Subject:
    images = project.images
    annotated = sum(image.is_annotated for image in images)
    if question == "suggest" and annotated == len(images):
        return Subject(problem="All images are annotated.")
    predicted = sum(image.is_predicted for image in images)
    unseen = f", {count_of(predicted, 'prediction')} that nobody has looked at" if predicted else ""
    return Subject(images, f"{counted(images, 'image')}, {annotated} annotated{unseen}")


def _judged(project: Project, known: Known) -> Subject:
    """Return images that the model was not trained on, if there are any, the most trustworthy kind there is."""
    everything = _annotated(project, "auto", "train", "validation", "test")
    if not everything:
        return Subject(problem="Annotate at least 1 image.")
    new = tuple(image for image in everything if image.name not in known.trained)  # whatever its role is by now
    held_out = tuple(image for image in new if image.name in known.held_out)
    choices = (
        (tuple(image for image in new if image.role == "test"), "test image"),
        (held_out or tuple(image for image in new if image.role == "validation"), "image held out of its training"),
        (new, "image annotated since its training" if known.trained else "annotated image"),
    )
    for images, what in choices:
        if images:
            return Subject(images, counted(images, what))
    return Subject(everything, f"{counted(everything, 'image')} it was trained on, so the answer may be too good")


def _annotated(project: Project, *roles: Role) -> tuple[ProjectImage, ...]:
    images = (image for image in project.images if image.is_annotated and image.role in roles)
    return tuple(piece for image in images for piece in image.pieces)


def make_question(
    asked: Asked, project: Project, config: FinetuneConfig, folder: Path, *, steps: int | None = None
) -> BaseModel:
    """Return the request of a job in `folder`; masks of a long one are copied there, so that they may change meanwhile.

    Raises
    ------
    RunError
        If a mask cannot be copied.
    """
    pieces = {piece.name: piece for image in project.images for piece in image.pieces}
    images = [pieces.get(name) or project.image(name) for name in asked.images]
    pairs = pairs_of(piece for image in images for piece in image.pieces)
    if asked.question == "suggest":
        return SuggestRequest(
            checkpoint=asked.model,
            images=tuple(image.ref for image in images),
            annotated=tuple(image.name for image in images if image.is_annotated),
            count=SUGGESTED_COUNT,
            channels=config.channels,
            device=config.device,
        )
    if asked.question == "check":
        alone = tuple(image.ref for image in images if not image.is_annotated or not image.pieces)
        return CheckRequest(pairs=pairs, images=alone, checkpoint=asked.model, channels=config.channels)
    if asked.question in ("can_learn", "estimate", "cross_validate"):
        is_long = asked.question == "cross_validate"
        return QuestionRequest(
            task=asked.question,
            checkpoint=asked.model,
            pairs=tuple(copy_masks(pairs, folder / MASKS)) if is_long else pairs,
            config=config,
            steps=steps,
            maps=folder / "maps" if asked.question == "estimate" else None,
        )
    raise ValueError(f"{asked.question} needs no job")


def make_report(project: Project, run: Path, out: Path, config: FinetuneConfig) -> ReportRequest:
    """Return the request for a page about `run`, scored on the test images of `project` too."""
    return ReportRequest(run=run, out=out, tests=project.pairs("test"), device=config.device)
