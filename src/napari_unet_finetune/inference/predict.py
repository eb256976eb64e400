"""From an image to probabilities and labels, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..data.appearance import AS_THEY_ARE, Appearance, named
from ..data.normalize import ModelView, network_input, resample
from ..device import autocast, is_out_of_memory, pick_device, pick_precision
from ..errors import DeviceError
from ..events import TileEnd, drain, never, until
from ..models.attention_unet import fold_standardization
from ..models.model import Model
from .postprocess import to_labels
from .tiles import blend_tiles
from .views import knows_mirrored


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model sees in one image.

    Parameters
    ----------
    name
        Name of the image.
    probabilities
        ``(Y, X)`` float32, probability of an object.
    labels
        ``(Y, X)`` unsigned; 0 is background, 1 object, or one number per object where instances were asked for.
    threshold
        Probability above which a pixel became an object.
    scale, unit
        Size of a pixel along Y and X, as the image has it.
    appearance
        How the image was shown to the network.
    """

    name: str
    probabilities: NDArray[np.float32]
    labels: NDArray[np.unsignedinteger]
    threshold: float
    scale: tuple[float, float]
    unit: str
    appearance: Appearance = AS_THEY_ARE


def predict(
    model: Model, image: AnnotatedImage | NDArray[np.generic], config: PredictConfig | None = None, **settings: Any
) -> Prediction:
    """Return the objects that `model` sees in `image`; for many images keep one `Predictor`.

    Parameters
    ----------
    image
        ``(Y, X)``, or ``(Y, X, C)`` with 2 to 4 channels, or ``(C, Y, X)``; or an image with its name and pixel size.
    config
        Settings; `settings` are its fields by name, such as ``device="cpu"``.

    Raises
    ------
    DataError
        If it is no image, or its channels do not fit the model.
    DeviceError
        If the device is absent or a single tile does not fit into its memory.
    """
    return Predictor(model, PredictConfig.given(config, settings)).predict(AnnotatedImage.of(image))


class Predictor:
    """A model made ready once to predict many images.

    Parameters
    ----------
    model
        The model. Tiles have the size of the patches it was trained on, because GroupNorm ties a result to the size
        of what it was computed from.
    config
        Settings; an empty threshold takes the model's own.

    Raises
    ------
    DeviceError
        If the device is absent.
    """

    def __init__(self, model: Model, config: PredictConfig | None = None) -> None:
        self.config = config or PredictConfig()
        self.model = model.seeing(self.config.channels)
        self.threshold = self.config.threshold or model.card.threshold
        self.device = pick_device(self.config.device)
        self._network = fold_standardization(model.build_network()).to(self.device)
        if self.device.type != "mps":
            self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = pick_precision(self.config.precision, self.device)
        self._mirrored = self.config.augment and knows_mirrored(model)

    def logits(self, tiles: Tensor) -> Tensor:
        """Return logits (B, 1, Y, X) of `tiles` (B, C, Y, X), which are normalized and on the device."""
        with autocast(self.device, self.precision):
            logits: Tensor = self._network(tiles)
        return logits

    def predict(self, image: AnnotatedImage) -> Prediction:
        """Return the objects in `image`.

        Raises
        ------
        DataError
            If the image's channels do not fit the model.
        DeviceError
            If a single tile does not fit into the device's memory.
        """
        result = drain(self.stream(image))
        assert isinstance(result, Prediction)
        return result

    def stream(
        self, image: AnnotatedImage, *, should_stop: Callable[[], bool] = never
    ) -> Generator[TileEnd, None, Prediction | None]:
        """Yield progress after every batch of tiles and return the objects in `image`.

        Returns None if `should_stop` says yes before the last batch.

        Raises
        ------
        DataError
            If the image's channels do not fit the model.
        DeviceError
            If the image or a single tile does not fit into the device's memory.
        """
        try:
            seen = network_input(image, self._view)
            pixels = torch.from_numpy(seen.pixels).to(self.device)
            blended = yield from until(should_stop, self._blended(pixels))
        except (RuntimeError, MemoryError) as error:  # the image and its probabilities lie on the device, too
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            raise DeviceError(
                f"{image.name}: the memory of '{self.device.type}' does not hold an image of {image.shape[1]} x "
                f"{image.shape[0]} pixels. Choose the device 'cpu', or cut the image."
            ) from error
        if blended is None:
            return None
        probabilities = resample(blended.cpu().numpy(), image.shape)
        labels = to_labels(probabilities, self.threshold, self.config)
        shown = seen.appearance
        return Prediction(image.name, probabilities, labels, self.threshold, image.scale, image.unit, shown)

    @property
    def channels(self) -> int:
        """Number of channels that the network sees."""
        return self.model.card.shape.in_channels

    @property
    def _view(self) -> ModelView:
        view = self.model.card.view
        if self.config.rescale is not None:
            view = view.model_copy(update={"rescale": self.config.rescale})
        chosen = named(self.config.appearance, view.in_channels)
        return view if chosen is None else view.as_one_of(chosen)

    def _blended(self, pixels: Tensor) -> Generator[TileEnd, None, Tensor]:
        return blend_tiles(
            self.logits,
            pixels,
            tile=self.model.card.patch_size,
            overlap=self.config.overlap,
            batch_size=self.config.batch_size,
            mirrored=self._mirrored,
        )
