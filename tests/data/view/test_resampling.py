"""Parts of a resampled image are those of the whole, which is what scikit-image makes of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize

from napari_unet_finetune.data.view.resampling import Resampling, resample
from napari_unet_finetune.io.regions.region import Region

sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(sizes, sizes, st.data())
def test_any_part_is_that_of_the_whole_to_the_last_bit(old, new, data):
    image = np.random.default_rng(0).random((2, *old), np.float32)
    whole = resample(image, new)
    top, left = (data.draw(st.integers(0, size - 1)) for size in new)
    part = Region(top, left, data.draw(st.integers(top + 1, new[0])), data.draw(st.integers(left + 1, new[1])))
    change = Resampling.of(old, new)
    source = change.needs(part)
    found = change.apply(image[:, *source.slices], source, part)
    np.testing.assert_array_equal(found, whole[:, *part.slices])


@pytest.mark.parametrize(
    ("old", "new"), [((40, 61), (80, 90)), ((64, 50), (16, 21)), ((33, 40), (20, 70)), ((9, 9), (9, 4))]
)
def test_it_is_what_scikit_image_makes(old, new):
    image = np.random.default_rng(0).random(old, np.float32)
    shrinks = new[0] < old[0] or new[1] < old[1]
    expected = resize(image, new, order=1, mode="reflect", anti_aliasing=shrinks, preserve_range=True)
    np.testing.assert_allclose(resample(image, new), expected, atol=2e-6)
