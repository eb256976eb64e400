"""The frames of a layer: taken one by one, as copies, with their channels together."""

import dask.array as da
import numpy as np

from napari_unet_finetune._qt.layers.frames import current_frame, frame_shape, frames_of

RNG = np.random.default_rng(0)


def gray(shape=(20, 30), dtype=np.uint8):
    return RNG.integers(0, 200, shape).astype(dtype)


def test_a_stack_is_taken_frame_by_frame(viewer):
    data = gray((2, 3, 20, 30))
    layer = viewer.add_image(data, name="stack", scale=(1, 1, 0.5, 0.5), units=("s", "um", "um", "um"))
    frames = list(frames_of(layer))
    assert frame_shape(layer) == (2, 3)
    assert [frame.name for frame in frames][:4] == [
        "stack[000,000]",
        "stack[000,001]",
        "stack[000,002]",
        "stack[001,000]",
    ]
    assert np.array_equal(frames[4].pixels, data[1, 1])
    assert (frames[4].scale, frames[4].unit) == ((0.5, 0.5), "micrometer")
    assert len({frame.name for frame in frames}) == 6


def test_only_the_frames_asked_for_are_computed(viewer):
    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"][0])
        return np.full((1, 20, 30), computed[-1], np.uint8)

    lazy = da.map_blocks(block, chunks=((1,) * 50, (20,), (30,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    layer = viewer.add_image(lazy, contrast_limits=(0, 50), name="lazy")
    computed.clear()
    (frame,) = frames_of(layer, iter([(7,)]))
    assert computed == [7]
    assert frame.pixels.shape == (20, 30)


def test_channels_stay_together_and_colors_come_first(viewer):
    channels = viewer.add_image(gray((5, 2, 20, 30)), axis_labels=("t", "c", "y", "x"), name="channels")
    assert frame_shape(channels) == (5,)
    assert next(frames_of(channels)).pixels.shape == (2, 20, 30)
    colors = viewer.add_image(gray((20, 30, 4)), rgb=True, name="colors")
    (frame,) = frames_of(colors)
    assert frame.pixels.shape == (3, 20, 30)
    assert np.array_equal(frame.pixels[1], colors.data[..., 1])


def test_a_frame_is_a_copy(viewer):
    layer = viewer.add_image(gray())
    (frame,) = frames_of(layer)
    frame.pixels[:] = 255
    assert not (layer.data == 255).any()


def test_the_sliders_say_which_frame_is_shown(viewer):
    layer = viewer.add_image(gray((4, 6, 20, 30)), scale=(2, 0.5, 1, 1), translate=(0, 10, 0, 0))
    viewer.dims.set_point((0, 1), (4.0, 11.5))
    assert current_frame(viewer, layer) == (2, 3)


def test_a_pyramid_gives_its_full_resolution(viewer):
    full = gray((64, 64))
    layer = viewer.add_image([full, full[::2, ::2]], multiscale=True, contrast_limits=(0, 255))
    (frame,) = frames_of(layer)
    assert np.array_equal(frame.pixels, full)
