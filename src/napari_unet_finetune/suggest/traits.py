"""What a model sees in an image: features of its encoder, intensities, and how sure its prediction is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..config import DeviceName, PrecisionName
from ..data.annotated_image import AnnotatedImage
from ..data.normalize import network_input, raw_input
from ..data.windows import reflected_indices
from ..device import autocast, pick_device, pick_precision
from ..models.attention_unet import made_for_prediction
from ..models.card import ModelCard
from ..models.model import Model

_LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_MAX_PIXELS = 2**17
# Tiles per image, of the size of the training patches: 9 are 384 x 384 px; fewer for wide networks, which are slow.
_TILES_PER_SIDE = 3
_TILES_PER_SIDE_WIDE = 2
_WIDE = 32
# A probability within this distance of the threshold is undecided, if 0 and 1 are at least twice as far away.
_UNDECIDED = 0.2


@dataclass(frozen=True, eq=False)
class Traits:
    """What is kept of an image.

    Parameters
    ----------
    name
        The image.
    features
        Mean and std of every channel of the encoder's deeper levels.
    intensities
        Quantiles of raw and normalized intensities, and how colorful the image is.
    brightness, contrast
        Median, and distance between dark and bright quantiles, as shares of the data type's range.
    disagreement
        Share by which predictions differ when brightness, contrast or sharpness change: 0 not at all, 1 fully.
        ``None`` if nothing was predicted.
    undecided
        Share of the predicted objects' area whose probability is near the threshold.
    """

    name: str
    features: NDArray[np.float64]
    intensities: NDArray[np.float64]
    brightness: float
    contrast: float
    disagreement: float | None = None
    undecided: float | None = None


class Scout:
    """Looks at images with a model that is made ready once.

    Looks at up to 9 tiles spread over the image, each as large as a training patch, so that large images take no
    longer than small ones: about a tenth of a second with the light network on a CPU, half a second with predictions.

    Raises
    ------
    DeviceError
        If the device is absent.
    """

    def __init__(
        self,
        model: Model,
        *,
        predictions: bool,
        device: DeviceName = "auto",
        precision: PrecisionName = "auto",
    ) -> None:
        self.model = model
        self._predictions = predictions
        self._device = pick_device(device)
        self._precision = pick_precision(precision, self._device)
        self._network = made_for_prediction(model.build_network(), self._device)
        self._per_side = _TILES_PER_SIDE_WIDE if model.card.shape.width > _WIDE or predictions else _TILES_PER_SIDE

    @torch.inference_mode()
    def look(self, image: AnnotatedImage) -> Traits:
        """Return what the model sees in `image`.

        Raises
        ------
        DataError
            If the image's channels do not fit the model.
        """
        of = self.model.card
        view = of.view if of.older is None else of.view.as_one_of(of.knows[-1])  # as those that the weights are for
        pixels = network_input(image, view).pixels
        tiles = torch.from_numpy(spread_tiles(pixels, of.patch_size, self._per_side)).to(self._device)
        with autocast(self._device, self._precision):
            levels = self._network.encode(tiles)
        raw = _raw_quantiles(image, of)
        disagreement, undecided = self._sureness(tiles) if self._predictions else (None, None)
        return Traits(
            image.name,
            _pooled(levels[1:]),
            np.concatenate([np.sqrt(np.abs(raw)), _quantiles(pixels.mean(axis=0)), [_color(image)]]),
            brightness=float(raw[len(raw) // 2]),
            contrast=float(raw[-1] - raw[0]),
            disagreement=disagreement,
            undecided=undecided,
        )

    def _sureness(self, tiles: Tensor) -> tuple[float, float]:
        straight = self._probabilities(tiles)
        changed = [self._probabilities(change) for change in _changes(tiles)]
        area = float(straight.sum()) + 1e-3 * straight.numel()
        differences = [
            float((straight - other).abs().sum()) / (area + float(other.sum()) + 1e-3 * other.numel())
            for other in changed
        ]
        threshold = self.model.card.threshold
        undecided = (straight - threshold).abs() < min(_UNDECIDED, threshold / 2, (1 - threshold) / 2)
        return float(np.mean(differences)), min(1.0, float(undecided.sum()) / area)

    def _probabilities(self, tiles: Tensor) -> Tensor:
        with autocast(self._device, self._precision):
            logits: Tensor = self._network(tiles)
        return torch.sigmoid(logits.float())


def spread_tiles(pixels: NDArray[np.float32], size: int, per_side: int) -> NDArray[np.float32]:
    """Return tiles (n, C, size, size) spread evenly over `pixels` (C, Y, X), mirrored where the image is smaller.

    As many per side as fit without overlap, at least one and at most `per_side`.
    """
    rows, columns = (_starts(side, size, per_side) for side in pixels.shape[-2:])
    return np.stack(
        [
            pixels[:, reflected_indices(row, size, pixels.shape[1])][
                :, :, reflected_indices(column, size, pixels.shape[2])
            ]
            for row in rows
            for column in columns
        ]
    )


def _starts(side: int, size: int, most: int) -> list[int]:
    count = min(most, max(1, side // size))
    gap = (side - count * size) / (count + 1)  # negative for an image smaller than a tile, which is then centered
    return [round(gap + index * (size + gap)) for index in range(count)]


def _changes(tiles: Tensor) -> list[Tensor]:
    """Return `tiles` darker, with more contrast, blurred and sharpened."""
    mean = tiles.mean(dim=(-2, -1), keepdim=True)
    padded = F.pad(tiles, (1, 1, 1, 1), mode="reflect")
    blurred = F.avg_pool2d(padded, 3, stride=1)
    return [tiles * 0.8, (tiles - mean) * 1.25 + mean, blurred, tiles + 0.7 * (tiles - blurred)]


def _pooled(levels: list[Tensor]) -> NDArray[np.float64]:
    """Return mean and std of every channel over all tiles and pixels."""
    flat = [level.float().transpose(0, 1).flatten(1) for level in levels]
    parts = [part.cpu().numpy() for level in flat for part in (level.mean(dim=1), level.std(dim=1))]
    return np.concatenate(parts).astype(np.float64)


def _raw_quantiles(image: AnnotatedImage, of: ModelCard) -> NDArray[np.float64]:
    raw = raw_input(image, in_channels=of.shape.in_channels, channels=of.channels)
    return _quantiles((image.image.astype(np.float32) if raw is None else raw).reshape(-1, *image.shape).mean(axis=0))


def _quantiles(gray: NDArray[np.float32]) -> NDArray[np.float64]:
    values = gray.ravel()
    return np.quantile(values[:: max(1, values.size // _MAX_PIXELS)].astype(np.float64), _LEVELS)


def _color(image: AnnotatedImage) -> float:
    """Return how far the channels lie apart, as a share of the brightest value; 0 for gray images."""
    if image.channels == 1:
        return 0.0
    means = image.image.reshape(image.channels, -1).mean(axis=1, dtype=np.float64)
    return float((means.max() - means.min()) / max(abs(means.max()), 1e-9))
