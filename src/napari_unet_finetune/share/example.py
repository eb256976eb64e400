"""An example for a package: a generated tile, and what the network makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.annotated_image import AnnotatedImage
from ..data.normalize import as_shown
from ..data.samples import SMALLEST_SIDE_PX, DatasetNumber, make_microtube
from ..models.model import Model
from .recipe import WHITE, Recipe

# Of these the one is taken in which the network sees most: test results without any object would test little.
_CANDIDATES: tuple[tuple[DatasetNumber, int], ...] = ((1, 0), (1, 1), (2, 0), (2, 1))
_COVER_PX = 512


@dataclass(frozen=True, eq=False)
class Example:
    """A tile (C, tile, tile) as images are, and the probabilities (tile, tile) that the network gives it."""

    pixels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]

    @property
    def cover(self) -> NDArray[np.uint8]:
        """Both side by side, (Y, 2 Y), for a web page."""
        both = np.hstack([self.pixels[0], np.rint(255 * self.probabilities).astype(np.uint8)])
        if (side := len(both)) <= _COVER_PX:
            return both.repeat(_COVER_PX // side, axis=0).repeat(_COVER_PX // side, axis=1)
        step = -(-side // _COVER_PX)
        return np.hstack([half[::step, ::step] for half in np.hsplit(both, 2)])


def make_example(model: Model, recipe: Recipe) -> Example:
    """Return an example for `model` from images that this program generates, shown to it as `recipe` says."""
    network, view = model.build_network(), model.card.view.as_one_of(recipe.appearance)
    examples = []
    for dataset, first in _CANDIDATES:
        pixels = _tile(dataset, first, recipe)
        seen, _ = as_shown(AnnotatedImage("example", pixels), view)
        with torch.no_grad():
            probabilities = torch.sigmoid(network(torch.from_numpy(seen)[None]))[0, 0].numpy()
        examples.append(Example(pixels, probabilities))
    return max(examples, key=lambda example: float(example.probabilities.std()))


def _tile(dataset: DatasetNumber, first: int, recipe: Recipe) -> NDArray[np.uint8]:
    """Return a tile of 8 bits, of which every channel is another image, so that none may take another's place."""
    side = max(recipe.tile, SMALLEST_SIDE_PX)
    images = make_microtube(dataset, first + recipe.channels, shape=(side, side))[first:]
    middle = slice((side - recipe.tile) // 2, (side + recipe.tile) // 2)
    planes = np.stack([image.image for image in images])[:, middle, middle]
    scaled: NDArray[np.uint8] = np.rint(planes / (planes.max() / WHITE)).astype(np.uint8)
    return scaled
