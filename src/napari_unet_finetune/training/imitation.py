"""Self-distillation: where old images have no masks, what the base model predicts in them is replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import logit

from ..config import FinetuneConfig, PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..errors import DataError
from ..events import drain, never
from ..inference.predict import Predictor, Stopped
from ..models.checkpoint import Checkpoint
from ..words import count_of

# More would only make the start of a training longer: a default one replays 1,600 patches.
MOST_IMAGES = 24
MOST_PIXELS = 16 * 1024**2
# Within this distance of the threshold, in logits, the base model is not sure enough to be imitated.
UNSURE = 1.0
_SURE_TO_BE_FINITE = 1e-6


def some_evenly(images: Sequence[AnnotatedImage]) -> Iterator[AnnotatedImage]:
    """Yield some of `images`, spread evenly: at most `MOST_IMAGES`, and fewer if the first one is large."""
    height, width = images[0].shape
    count = min(MOST_IMAGES, len(images), max(1, MOST_PIXELS // (height * width)))
    for place in np.linspace(0, len(images) - 1, count).round():
        yield images[int(place)]


def imitated(
    images: Sequence[AnnotatedImage],
    base: Checkpoint,
    config: FinetuneConfig,
    *,
    should_stop: Callable[[], bool] = never,
) -> Iterator[AnnotatedImage]:
    """Yield some of `images` with the labels that `base` gives them, annotated where it is sure of them.

    Once `should_stop` says yes, the rest comes without objects: there will be no training.

    Raises
    ------
    DataError
        If an image has labels of its own, or cannot be used by the model.
    """
    quick = PredictConfig(device=config.device, precision=config.precision, augment=False, overlap=0.25)
    predictor = Predictor(base, quick)
    for image in some_evenly(images):
        if image.labels is not None:
            raise DataError(
                f"{image.name}: this old image has labels and others have none. Give the labels of all, or of none."
            )
        prediction = drain(predictor.stream(image, should_stop=should_stop))
        if isinstance(prediction, Stopped):  # nothing will be trained, but the images are still those of the run
            yield replace(image, labels=np.zeros(image.shape, bool))
            continue
        sure = np.abs(_logit(prediction.probabilities) - _logit(predictor.threshold)) > UNSURE
        yield replace(image, labels=prediction.probabilities > predictor.threshold, annotated=sure)


def imitation_notice(given: int, used: int, *, measured: bool) -> str:
    """Say what stands in for the masks of `given` old images, of which `used` are replayed."""
    some = f" ({used} of them, spread evenly)" if used < given else ""
    where = (
        "What is forgotten is measured on the patches that the base model carries."
        if measured
        else "What is forgotten cannot be measured; give masks of some old images to see it."
    )
    have = "has no mask" if given == 1 else "have no masks"
    return f"The {count_of(given, 'old image')} {have}: what the base model predicts there is replayed{some}. {where}"


def _logit(probability: float | np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(probability, _SURE_TO_BE_FINITE, 1 - _SURE_TO_BE_FINITE)))
