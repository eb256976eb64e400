"""Score a model on what was held out: whole images by Dice, or patches by loss as in the study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import SMALLEST_WINDOW_PX, FinetuneConfig, PrecisionName, PredictConfig
from ..device import autocast
from ..events import drain
from ..inference.tiles import blend_tiles, plan_tiles
from ..inference.views import trains_mirrored
from ..metrics import dice
from ..models.attention_unet import AttentionUNet, made_for_prediction
from .losses import Loss
from .patches.sampler import PatchView, cut_batch
from .patches.store import PatchStore, PreparedImage

THRESHOLDS = np.linspace(0.1, 0.9, 33)
# A threshold other than the old one must gain this much Dice, however sure it is.
THRESHOLD_GAIN = 0.002
# Validations of new images take about this share of a training …
VALIDATION_SHARE = 0.1
# … in which a patch that is learned from takes as long as so many tiles that are looked at (docs/benchmarks.md).
TILES_PER_PATCH = 3


class Validator(Protocol):
    """Scores a model; a higher score is better."""

    def score(self, network: AttentionUNet) -> float:
        """Return the score of `network`."""


def affordable_window(shapes: Sequence[tuple[int, int]], config: FinetuneConfig, base_px: int) -> int:
    """Return the largest side of windows of images of these `shapes` (Y, X) that a training has the time to validate.

    At most what the settings say, in steps of half a patch, and never less than one and a half, be it one of this
    training or one of the base, whose side is `base_px`: both are scored on these windows.
    """
    patch, mirrored = config.patch_px, trains_mirrored(config.augment)
    learned = config.validate_every * config.batch_size * TILES_PER_PATCH
    affordable = learned * VALIDATION_SHARE / (1 - VALIDATION_SHARE)

    def tiles(side: int) -> int:
        windows = [(min(height, side), min(width, side)) for height, width in shapes]
        plans = [plan_tiles(window, patch, PredictConfig().overlap, mirrored=mirrored) for window in windows]
        return sum(len(plan.tiles) for plan in plans)

    least = min(config.validation_crop_px, max(SMALLEST_WINDOW_PX, *(side + side // 2 for side in (patch, base_px))))
    sides = range(config.validation_crop_px, least, -(patch // 2))
    return next((side for side in sides if tiles(side) <= affordable), least)


class ImageValidator:
    """Mean Dice over typical windows of the held-out images, predicted in tiles of the patch's size."""

    def __init__(
        self, store: PatchStore, config: FinetuneConfig, precision: PrecisionName, threshold: float, mirrored: bool
    ) -> None:
        self.images = [image.cropped(config.validation_crop_px) for image in store.images]
        self.mirrored = mirrored
        self.device, self.config, self.precision, self.threshold = store.device, config, precision, threshold

    def score(self, network: AttentionUNet) -> float:
        """Return the mean Dice of `network` at the threshold from which calibration starts."""
        return float(np.mean(self.dice_of_each(network)))

    def dice_of_each(self, network: AttentionUNet) -> list[float]:
        """Return the Dice of `network` on each image."""
        probabilities = predict_all(network, self.images, self.config, self.mirrored, self.device, self.precision)
        return dice_of_each(self.images, probabilities, self.threshold)


class PatchValidator:
    """Negative mean loss over held-out patches, the choice of the study."""

    def __init__(self, views: Sequence[PatchView], store: PatchStore, config: FinetuneConfig, loss: Loss) -> None:
        self._views, self._store, self._config, self._loss = views, store, config, loss

    @torch.inference_mode()
    def score(self, network: AttentionUNet) -> float:
        """Return minus the loss of `network`, averaged over batches."""
        network.eval()
        size = self._config.batch_size
        losses = []
        for start in range(0, len(self._views), size):
            batch = cut_batch(list(self._views[start : start + size]), self._config.patch_px, self._store.device)
            losses.append(float(self._loss(network(batch.images), batch.target, batch.annotated)))
        return -float(np.mean(losses))


def predict_all(
    network: AttentionUNet,
    images: Sequence[PreparedImage],
    config: FinetuneConfig,
    mirrored: bool,
    device: torch.device,
    precision: PrecisionName,
) -> list[NDArray[np.float32]]:
    """Return the probabilities (Y, X) of prepared images, as `Predictor` does; `mirrored` as in `blend_tiles`."""
    ready = made_for_prediction(network, device)
    with torch.inference_mode(), autocast(device, precision):
        tiles = (
            blend_tiles(
                ready,
                image.pixels.to(device).float(),
                tile=config.patch_px,
                overlap=PredictConfig().overlap,
                batch_size=config.batch_size,
                mirrored=mirrored,
            )
            for image in images
        )
        return [drain(of_image).float().cpu().numpy() for of_image in tiles]


def dice_of_patches(
    network: AttentionUNet,
    images: Sequence[PreparedImage],
    config: FinetuneConfig,
    threshold: float,
    device: torch.device,
    precision: PrecisionName,
) -> float:
    """Return `mean_over_images` of what is seen in one view each: patches in batches, larger images in tiles."""
    side = config.patch_px
    if any(image.shape != (side, side) for image in images):
        return mean_over_images(images, predict_all(network, images, config, False, device, precision), threshold)
    ready, found = made_for_prediction(network, device), list[NDArray[np.float32]]()
    with torch.inference_mode(), autocast(device, precision):
        for start in range(0, len(images), config.batch_size):
            pixels = torch.stack([image.pixels.float() for image in images[start : start + config.batch_size]])
            found.extend(torch.sigmoid(ready(pixels.to(device)).float())[:, 0].cpu().numpy())
    return mean_over_images(images, found, threshold)


def mean_dice(images: Sequence[PreparedImage], probabilities: Sequence[NDArray[np.float32]], threshold: float) -> float:
    """Return the mean over images of Dice on annotated pixels."""
    return float(np.mean(dice_of_each(images, probabilities, threshold)))


def dice_of_each(
    images: Sequence[PreparedImage], probabilities: Sequence[NDArray[np.float32]], threshold: float
) -> list[float]:
    """Return the Dice of each image on annotated pixels."""
    return [dice(*pair) for pair in _annotated_pixels(images, probabilities, threshold)]


def dice_by_image(
    parts: Sequence[PreparedImage], probabilities: Sequence[NDArray[np.float32]], threshold: float
) -> dict[str, float]:
    """Return Dice of each image by its name, of all its annotated pixels together; parts of one have the same name.

    Images without any object have none of their own, since one wrong pixel there would be as bad as an image that is
    all wrong: what is found in them counts in equal parts against the others.
    """
    overlap, wrong, objects = Counter[str](), Counter[str](), Counter[str]()
    for part, (predicted, truth) in zip(parts, _annotated_pixels(parts, probabilities, threshold), strict=True):
        overlap[part.name] += 2 * int(np.count_nonzero(predicted & truth))
        wrong[part.name] += int(np.count_nonzero(predicted ^ truth))
        objects[part.name] += int(np.count_nonzero(truth))
    scored = [name for name, count in objects.items() if count]
    if not scored:
        return {name: float(not count) for name, count in wrong.items()}
    astray = sum(wrong[name] for name, count in objects.items() if not count) / len(scored)
    return {name: overlap[name] / (overlap[name] + wrong[name] + astray) for name in scored}


def mean_over_images(
    parts: Sequence[PreparedImage], probabilities: Sequence[NDArray[np.float32]], threshold: float
) -> float:
    """Return the mean of `dice_by_image`."""
    return float(np.mean(list(dice_by_image(parts, probabilities, threshold).values())))


def _annotated_pixels(
    images: Sequence[PreparedImage], probabilities: Sequence[NDArray[np.float32]], threshold: float
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield what is predicted and what is true on the annotated pixels of each image."""
    for image, probability in zip(images, probabilities, strict=True):
        known = image.annotated.cpu().numpy() > 0
        yield (probability > threshold)[known], image.target.cpu().numpy()[known] > 0


def calibrate_threshold(
    images: Sequence[PreparedImage], probabilities: Sequence[NDArray[np.float32]], current: float
) -> float:
    """Return the probability threshold that is best for annotated images; see `pick_threshold`."""
    scores = [dice_of_each(images, probabilities, float(threshold)) for threshold in (current, *THRESHOLDS)]
    return pick_threshold(np.array(scores), current)


def pick_threshold(scores: NDArray[np.float64], current: float) -> float:
    """Return the threshold with the best mean Dice; `scores` (1 + n, images) are of `current` and of `THRESHOLDS`.

    `current` stays unless another one gains `THRESHOLD_GAIN`, and more than the standard error of the gain over images:
    a single image has none, and the gain of one among many is just as large. Of all that are no further from the best
    one, the middle is taken, if that gains as well.
    """
    count = scores.shape[1]
    if count < 2:
        return current
    best = 1 + int(scores[1:].mean(axis=1).argmax())
    lost = scores[best] - scores
    error = lost.std(axis=1, ddof=1) / np.sqrt(count)
    good = lost.mean(axis=1) <= np.maximum(THRESHOLD_GAIN, error * (1 + 1e-6))
    if good[0]:
        return current
    first = best - int(np.argmin([*good[best:0:-1], False])) + 1
    last = best + int(np.argmin([*good[best:], False])) - 1
    middle = (first + last) // 2
    return current if scores[middle].mean() < scores[0].mean() + THRESHOLD_GAIN else float(THRESHOLDS[middle - 1])
