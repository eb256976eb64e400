"""What a run folder tells of its training, gathered for a report: settings, images and their hashes, curves, models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from ..config import FinetuneConfig
from ..data.annotated_image import AnnotatedImage
from ..errors import DataError, FinetuneError, ModelError, RunError
from ..events import Notice, RunEnded, RunStarted, StepEnd, ValidationEnd
from ..io.disk import file_hash
from ..models.card import ModelCard, read_card
from ..models.load import load_model
from ..models.model import Model, weights_hash
from ..models.names import name_of_file, unique_names
from ..models.provenance import TrainingImage
from ..runs.execute import images_of
from ..runs.folder import RunFolder
from ..runs.request import FinetuneRequest
from ..training.patches.unannotated import first_step
from ..training.settle import settle_schedule

RunRole = Literal["training", "held out", "not used", "test"]
SetBy = Literal["preset", "user", "program"]
State = Literal["unchanged", "changed", "missing", "not recorded"]


@dataclass(frozen=True)
class UsedImage:
    """An image of the run as it is now, without `record` if it is gone; `state` compares it with what was recorded."""

    name: str
    role: RunRole
    sha256: str
    state: State
    size: tuple[int, int] | None = None
    channels: int | None = None
    foreground: float | None = None
    record: TrainingImage | None = None

    @property
    def row(self) -> dict[str, Any]:
        """The row of a table of images."""
        height, width = self.size or (None, None)
        return asdict(self) | {"image": self.name, "height_px": height, "width_px": width}


@dataclass(frozen=True)
class Setting:
    """A setting as text, with that of its preset, and who set it: preset, user or program."""

    setting: str
    value: str
    preset_value: str
    origin: SetBy


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One training: what was asked, what happened, and what came of it.

    `model` is the finished model, or the best until the training stopped. `base` is None for a training from
    scratch, and where the file of the base model is gone. `problems` say what could not be found any more.
    """

    folder: Path
    request: FinetuneRequest
    config: FinetuneConfig
    model_path: Path
    model: Model
    base: Model | None
    started: RunStarted
    ended: RunEnded | None
    losses: tuple[tuple[int, float], ...]
    validations: tuple[ValidationEnd, ...]
    notices: tuple[str, ...]
    training_s: float
    images: tuple[UsedImage, ...]
    problems: tuple[str, ...]

    @property
    def steps(self) -> int:
        """Number of steps that were made."""
        return self.ended.steps if self.ended else (self.losses[-1][0] if self.losses else self.started.first_step)

    @property
    def is_complete(self) -> bool:
        """Tell whether the training came to its own end."""
        return self.ended is not None and not self.ended.stopped

    @property
    def kept_raw(self) -> bool:
        """Tell whether the base model was returned unchanged."""
        return self.ended is not None and self.ended.kept_raw

    @property
    def from_scratch(self) -> bool:
        """Tell whether there was no base model."""
        return self.request.task == "train"

    @property
    def best(self) -> ValidationEnd | None:
        """The validation whose weights were kept."""
        return next((end for end in reversed(self.validations) if end.best), None)

    @property
    def base_name(self) -> str:
        """What the base model is called, from its file or its record."""
        return self._names[0]

    @property
    def name(self) -> str:
        """What the model is called that came of it."""
        return self._names[0 if self.kept_raw else 1]

    @property
    def _names(self) -> tuple[str, ...]:
        """Names of base and model, which tell them apart."""
        base = self.request.checkpoint or "unnamed"
        names = unique_names((base, self.model_path))
        return names[base], names[str(self.model_path)]

    @property
    def model_sha256(self) -> str:
        """The hash of the file of the model."""
        return file_hash(self.model_path)

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(weights.numel() for weights in self.model.weights.values())

    @property
    def is_replayed(self) -> bool:
        """Tell whether patches of the old dataset took part in the training."""
        has_old = self.request.base_images is not None or self.model.rehearsal is not None
        return not self.from_scratch and has_old and self.config.replay_share > 0 and self.config.epochs is None

    @property
    def can_spare_old(self) -> bool:
        """Tell whether the old images that were scored have no say, since they may keep their weights."""
        return self.model.card.can_spare_old(are_given=self.request.base_masks is not None)

    @property
    def first_unannotated_step(self) -> int:
        """From which step on images without masks take part, counted from 1."""
        return first_step(self.config) + 1

    @property
    def is_validated_in_part(self) -> bool:
        """Tell whether a held-out image was larger than the window on which it was scored while training."""
        held_out = (image.size for image in self.images if image.role == "held out")
        return any(size and max(size) > self.window_px for size in held_out)

    @property
    def window_px(self) -> int:
        """The largest side of what was scored of a held-out image while training, in its pixels."""
        return self.started.window_px or self.config.validation_crop_px

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every setting of the training."""
        preset = dict(_flat(FinetuneConfig(preset=self.config.preset)))
        asked = dict(_flat(self.request.config))
        return tuple(
            _setting(name, value, asked.get(name), preset.get(name))
            for name, value in _flat(self.config)
            if name not in ("version", "preset")
        )

    @property
    def used(self) -> tuple[UsedImage, ...]:
        """Images that trained or validated."""
        return tuple(image for image in self.images if image.role in ("training", "held out"))

    def leaked(self, tests: Sequence[UsedImage]) -> list[str]:
        """Return the names of those of `tests` that trained or validated."""
        used = [image.record for image in self.used if image.record is not None]
        known = ((test.name, test.record) for test in tests if test.record is not None)
        return [name for name, record in known if any(record.is_same(one) for one in used)]


def _setting(name: str, value: str, asked: str | None, preset: str | None) -> Setting:
    origin: SetBy = "program" if value not in (asked, preset) else "user" if asked != preset else "preset"
    return Setting(name, value, "–" if preset is None else preset, origin)


def _flat(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting with its value as text; a group's settings have dotted names."""
    for name, value in config:
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@dataclass
class _Happened:
    """Events of a run, without what was done again after an interruption."""

    started: RunStarted | None = None
    ended: RunEnded | None = None
    steps: tuple[StepEnd, ...] = ()
    validations: tuple[ValidationEnd, ...] = ()
    notices: tuple[str, ...] = ()


def read_run(path: Path) -> RunRecord:
    """Return the record of the run in the folder `path`; its images are read once, to compare their hashes.

    Raises
    ------
    RunError
        If the folder holds no run, or one that has not come to its first validation.
    ModelError
        If the model of the run is damaged.
    """
    folder = RunFolder(path)
    request = folder.request
    happened = _happened(folder.events())
    file = next((file for file in (folder.result_path, folder.best_path) if file.is_file()), None)
    if happened.started is None or file is None:
        raise RunError(f"{path}: this run has no model yet, so there is nothing to report. Let it train first.")
    model = load_model(file)
    kept_raw = happened.ended is not None and happened.ended.kept_raw
    base, problems = _base(request, model)
    recorded = {} if kept_raw else {record.name: record.sha256 for record in model.card.provenance.images}
    images, missing = _images(request, happened.started, recorded)
    return RunRecord(
        folder=path,
        request=request,
        config=_settled(_card_of_training(folder, model, kept_raw=kept_raw), request, happened.started),
        model_path=file,
        model=model,
        base=base,
        started=happened.started,
        ended=happened.ended,
        losses=tuple((step.step, step.train_loss) for step in happened.steps),
        validations=happened.validations,
        notices=tuple(dict.fromkeys(happened.notices)),
        training_s=sum(step.step_s for step in happened.steps),
        images=images,
        problems=(*problems, *missing),
    )


def _happened(events: Iterable[object]) -> _Happened:
    happened, notices = _Happened(), []
    steps: dict[int, StepEnd] = {}
    validations: dict[int, ValidationEnd] = {}
    for event in events:
        match event:
            case RunStarted():
                happened.started, happened.ended = event, None
                steps = {step: end for step, end in steps.items() if step <= event.first_step}
                validations = {step: end for step, end in validations.items() if step <= event.first_step}
            case StepEnd():
                steps[event.step] = event
            case ValidationEnd():
                validations[event.step] = event
            case Notice():
                notices.append(event.message)
            case RunEnded():
                happened.ended = event
    happened.steps, happened.validations = tuple(steps.values()), tuple(validations.values())
    happened.notices = tuple(notices)
    return happened


def _card_of_training(folder: RunFolder, model: Model, *, kept_raw: bool) -> ModelCard | None:
    """Return a card with the settings of the training, None if there is none: the base that was kept has its own."""
    if not kept_raw:
        return model.card
    if folder.is_finished:  # else the file of the best is what was kept, too
        with suppress(ModelError):
            return read_card(folder.best_path)
    return None


def _settled(card: ModelCard | None, request: FinetuneRequest, started: RunStarted) -> FinetuneConfig:
    """Return the settings as the training settled them, such as the patch size of the base model."""
    if card is not None:
        with suppress(ValidationError):  # of another version
            return FinetuneConfig.model_validate(card.provenance.config)
    held_out = len(started.validation_images)
    annotated = held_out + len(started.train_images)
    return settle_schedule(request.config, held_out, annotated, from_scratch=request.task == "train")


def _base(request: FinetuneRequest, model: Model) -> tuple[Model | None, tuple[str, ...]]:
    """Return the base if its file still holds the weights that `model` came from, else a sentence."""
    if request.checkpoint is None:
        return None, ()
    try:
        base = load_model(request.checkpoint)
    except (ModelError, OSError) as error:
        return None, (f"The base model can no longer be read, so it is not compared: {error}",)
    if model.card.is_finetuned and weights_hash(base.weights) != model.card.provenance.parent_sha256:
        return None, (
            f"{name_of_file(request.checkpoint)} is no longer the model that this training began with: not compared.",
        )
    return base, ()


def _images(
    request: FinetuneRequest, started: RunStarted, recorded: dict[str, str]
) -> tuple[tuple[UsedImage, ...], tuple[str, ...]]:
    """Return all images of the run, as they are now, and what is wrong with them."""
    roles: dict[str, RunRole] = dict.fromkeys(started.train_images, "training")
    roles.update(dict.fromkeys(started.validation_images, "held out"))
    found: dict[str, UsedImage] = {}
    problems: list[str] = []
    try:
        folder = images_of(request)
    except FinetuneError as error:
        problems.append(f"The images are not where they were, so nothing was predicted on them: {error}")
    else:
        for name, image in readable(folder.names, folder, problems):
            found[name] = describe(image, roles.get(name, "not used"), recorded)
    gone = [name for name in roles if name not in found]
    for name in gone:
        found[name] = UsedImage(name, roles[name], recorded.get(name, ""), "missing")
    changed = [image.name for image in found.values() if image.state == "changed"]
    if changed:
        problems.append(
            f"{', '.join(changed)}: image or mask has changed since the training, so scores on it are not those of "
            "the training."
        )
    return tuple(sorted(found.values(), key=lambda image: (image.role != "training", image.role))), tuple(problems)


def readable(
    names: Sequence[str], images: Sequence[AnnotatedImage], problems: list[str]
) -> Iterator[tuple[str, AnnotatedImage]]:
    """Yield every image that can be read, with its name; the reason why another cannot goes to `problems`."""
    for index, name in enumerate(names):
        try:
            yield name, images[index]
        except DataError as error:
            problems.append(str(error))


def describe(image: AnnotatedImage, role: RunRole, recorded: dict[str, str]) -> UsedImage:
    """Return the facts of `image`, compared with the hash that was `recorded` under its name."""
    record = TrainingImage.of(image)
    before = recorded.get(image.name)
    return UsedImage(
        name=image.name,
        role=role,
        sha256=record.sha256,
        state="not recorded" if before is None else "unchanged" if before == record.sha256 else "changed",
        size=image.shape,
        channels=image.channels,
        foreground=image.foreground if image.known.any() else None,
        record=record,
    )
