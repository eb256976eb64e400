"""A small picture of a large image is made of few of its rows, and no row is unpacked twice."""

import numpy as np
import pytest

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.io.regions.region import Region, sampled

RNG = np.random.default_rng(0)


class Stored(AnnotatedImage):
    """An image of which this many rows are stored together, and that remembers what was read of it."""

    def __init__(self, pixels: np.ndarray, rows: int) -> None:
        super().__init__("slide", pixels)
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "asked", [])

    @property
    def stored_rows(self) -> int:
        return self.rows

    def read(self, region: Region) -> np.ndarray:
        self.asked.append(region)
        return super().read(region)


@pytest.mark.parametrize("stored_rows", [1, 7, 64, 256, 5000])
@pytest.mark.parametrize("shape", [(900, 500), (3, 333, 1000), (20, 30), (1, 1)])
def test_rows_that_are_stored_together_are_read_once_and_the_picture_is_the_same(shape, stored_rows) -> None:
    pixels = RNG.integers(0, 255, shape, dtype=np.uint8)
    image = Stored(pixels, stored_rows)
    found = sampled(image, 100)
    step = max(1, -(-max(image.shape) // 100))
    down, across = (slice(min(step // 2, side - 1), None, step) for side in image.shape)
    np.testing.assert_array_equal(found, pixels[..., down, across])
    assert max(found.shape[-2:]) <= 100
    strips = [range(one.top // stored_rows, (one.bottom - 1) // stored_rows + 1) for one in image.asked]
    touched = [strip for strips_of_one in strips for strip in strips_of_one]
    assert len(touched) == len(set(touched))
    if stored_rows == 1:
        assert sum(one.shape[0] for one in image.asked) == found.shape[-2]
