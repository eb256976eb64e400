"""Can the network learn these images at all: overfit two of them, and test what may be wrong if not."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..checks.mask_fit import Doubt, Sample, find_doubts
from ..config import TRIAL_KEEPS, TRIAL_SECONDS, TRIAL_STEPS, AugmentConfig, FinetuneConfig, PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..data.normalize import model_input
from ..errors import DataError
from ..evaluation.areas import ThresholdCounts
from ..events import Event, PartStarted, StepEnd, as_run, never
from ..result import Result, ResultTable

if TYPE_CHECKING:
    from ..inference.predict import Predictor
    from ..models.model import Model

# A network that cannot even learn two images by heart to this Dice will not learn the rest.
READY = 0.9
# At most so many images are read for the tests of the masks.
TESTED_IMAGES = 20
# The loss counts as still falling if its last fifth is below the one before by this share.
_STILL_FALLING = 0.1
_THRESHOLD = 0.5

TrialVerdict = Literal["ready", "check the data", "needs longer", "not ready"]
_HEADLINES: dict[TrialVerdict, str] = {
    "ready": "Yes, it can learn these masks.",
    "check the data": "Look at the masks and images first.",
    "needs longer": "Not yet: it was still learning.",
    "not ready": "No, not as they are.",
}
_BUSY = "No answer yet: the computer was too busy or too slow."


@dataclass(frozen=True)
class CanLearn(Result):
    """What the trial showed; `dice` is that on the very images trained on, and so no measure of quality.

    `steps` were made in `seconds`, `planned` is how many should have been (0 in older answers).
    """

    verdict: TrialVerdict
    images: tuple[str, ...]
    dice: tuple[float, ...]
    steps: int
    seconds: float
    losses: tuple[float, ...]
    doubts: tuple[Doubt, ...]
    planned: int = 0

    @property
    def was_cut_short(self) -> bool:
        """Whether the time was up before all steps were made, and nothing was learned by then."""
        return self.verdict == "needs longer" and self.steps < self.planned

    @property
    def headline(self) -> str:
        """Whether it can learn them."""
        return _BUSY if self.was_cut_short else _HEADLINES[self.verdict]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was learned, and why that is enough or not."""
        return tuple(self._sentences())

    @property
    def is_warning(self) -> bool:
        """Whether a training would be wasted."""
        return self.verdict != "ready"

    @property
    def table(self) -> ResultTable:
        """How well each image is known by heart."""
        rows = tuple((image, f"{dice:.2f}") for image, dice in zip(self.images, self.dice, strict=True))
        return ResultTable(("image", "Dice on it"), rows, of_images=True)

    def _sentences(self) -> Iterator[str]:
        images, they = ("one image", "it") if len(self.images) == 1 else ("two images", "them")
        learned = (
            f"After {self.steps} steps of learning {images} by heart, the Dice on {they} is {fmean(self.dice):.3f}"
        )
        match self.verdict:
            case "ready":
                yield f"{learned}, so it can learn these masks, and they fit their images."
            case "check the data":
                despite = ", but that only shows a good memory" if fmean(self.dice) >= READY else ""
                yield from (doubt.sentence for doubt in self.doubts)
                yield f"({learned}{despite}.)"
            case "needs longer" if self.was_cut_short:
                yield f"The computer made {self.steps} of {self.planned} steps in {self.seconds:.0f} s."
                yield (
                    f"{learned}, which says little; the masks fit their images. Ask again when nothing else keeps the "
                    "computer busy."
                )
            case "needs longer":
                yield (
                    f"{learned}, less than {READY}, but the loss was still falling and the masks fit their images. A "
                    "finetuning takes more steps, so it may well learn them."
                )
            case "not ready":
                yield f"{learned}, less than {READY}, and gets no better."
                yield (
                    "Masks fit the edges of the images and nothing is inverted, clipped or empty; so objects may look "
                    "like background, be drawn differently from image to image, or be thinner than a pixel or two or "
                    "much larger than a patch."
                )


@as_run
def can_learn(
    model: Model,
    images: Sequence[AnnotatedImage],
    config: FinetuneConfig | None = None,
    *,
    seconds: float = TRIAL_SECONDS,
    steps: int = TRIAL_STEPS,
    should_stop: Callable[[], bool] = never,
) -> Generator[Event, None, CanLearn | None]:
    """Let `model` learn two of `images` by heart; yield the events of that training, return a verdict.

    The two with the most even share of objects and background are taken, without augmentation, replay or held-out
    images, for `steps` steps, or fewer if these take longer than `seconds` (loading, and what somebody makes it wait,
    do not count); of `config`, only the settings in `TRIAL_KEEPS` count.
    Whether masks are shifted, exchanged, inverted or empty, and images constant, clipped or reduced to the wrong
    channel, is tested on up to 20 images. None is returned if `should_stop` says yes before the end.

    Raises
    ------
    DataError
        If there are no images, or none shows an object.
    DeviceError
        If the device is absent or its memory does not hold one patch.
    """
    from ..inference.predict import Predictor
    from ..training.finetune import finetune
    from ..training.settle import fit_channels

    if not len(images):
        raise DataError("There are no annotated images. Annotate two to try.")
    yield PartStarted("checking the masks", 1, 2)
    config = _by_heart(config or FinetuneConfig(), steps)
    doubts, chosen = _look(fit_channels(model, images, config)[0], images)
    if should_stop():
        return None
    yield PartStarted("learning two images by heart", 2, 2)
    losses: list[float] = []
    spent = 0.0
    events = finetune(model, chosen, config, should_stop=lambda: should_stop() or spent > seconds)
    for event in events:
        if isinstance(event, StepEnd):
            losses.append(event.train_loss)
            spent += event.step_s
        yield event
    if should_stop():
        return None
    learned = events.result.model
    dice = tuple(
        _dice(Predictor(learned, PredictConfig(device=config.device, precision=config.precision)), image)
        for image in chosen
    )
    names = tuple(image.name for image in chosen)
    verdict = _verdict(dice, losses, doubts, is_whole=len(losses) == steps)
    return CanLearn(verdict, names, dice, len(losses), spent, tuple(losses), doubts, steps)


def _by_heart(config: FinetuneConfig, steps: int) -> FinetuneConfig:
    """Return settings that learn a few patches by heart as fast as can be, with what is kept of `config`."""
    return FinetuneConfig(
        **{name: getattr(config, name) for name in TRIAL_KEEPS},
        layers="all",
        first_phase_layers=None,
        level_decay=1.0,
        learning_rate=2e-3,
        weight_decay=0.0,
        l2sp=0.0,
        weight_average=0.9,
        steps=steps,
        augment=AugmentConfig.none(),
        replay_share=0.0,
        rehearsal_patches=0,
        validation="none",
        validate_every=10,
        keep_raw=False,
        calibrate=False,
    )


def _look(model: Model, images: Sequence[AnnotatedImage]) -> tuple[tuple[Doubt, ...], tuple[AnnotatedImage, ...]]:
    """Return what is doubtful about the images, and the two that are most worth learning."""
    samples: list[Sample] = []
    views: list[NDArray[np.float32]] = []
    evenness: list[float] = []
    for index in range(min(len(images), TESTED_IMAGES)):
        image = images[index]
        view = model_input(
            image,
            in_channels=model.card.shape.in_channels,
            channels=model.card.channels,
            normalization=model.card.normalization,
        )
        samples.append(Sample.of(image, view))
        views.append(view)
        evenness.append(image.foreground * (1 - image.foreground))
    if max(evenness) == 0:
        raise DataError("None of the masks shows both object and background, so there is nothing to learn.")
    order = np.argsort([-even for even in evenness], kind="stable")[:2]
    chosen = tuple(samples[index].image for index in sorted(order) if evenness[index] > 0)
    return find_doubts(samples, views), chosen


def _dice(predictor: Predictor, image: AnnotatedImage) -> float:
    probabilities = predictor.predict(image).probabilities
    counts = ThresholdCounts.of(image.name, probabilities, image.target, [_THRESHOLD], image.annotated)
    return float(counts.dice[0])


def _verdict(
    dice: Sequence[float], losses: Sequence[float], doubts: Sequence[Doubt], *, is_whole: bool
) -> TrialVerdict:
    if doubts:
        return "check the data"
    if fmean(dice) >= READY:
        return "ready"
    return "needs longer" if not is_whole or _is_falling(losses) else "not ready"


def _is_falling(losses: Sequence[float]) -> bool:
    fifth = len(losses) // 5
    if not fifth:
        return True
    return fmean(losses[-fifth:]) < (1 - _STILL_FALLING) * fmean(losses[-2 * fifth : -fifth])
