"""Copies are recognized; what specimens have in common does not make them copies."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_unet_finetune.checks import duplicates
from napari_unet_finetune.checks.duplicates import Duplicate, find_duplicates, find_shared, take_fingerprint
from napari_unet_finetune.errors import DataError


def prints(*images):
    return [take_fingerprint(str(number), image) for number, image in enumerate(images)]


def test_layers_and_uneven_light_do_not_make_images_alike():
    rng = np.random.default_rng(0)
    layers = np.repeat([20.0, 200.0, 90.0], 40)[:, None] + np.linspace(0, 50, 150)
    assert find_duplicates(prints(*(layers + rng.normal(0, 10, layers.shape) for _ in range(4)))) == ()


def test_flat_images_are_only_the_same_pixel_for_pixel():
    found = find_duplicates(prints(np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8), np.ones((9, 9))))
    assert [(pair.first, pair.second, pair.exact) for pair in found] == [("0", "1", True)]


def test_the_same_values_of_another_type_or_shape_are_not_exact():
    image = np.random.default_rng(0).integers(0, 255, (64, 32), np.uint8)
    found = find_duplicates(prints(image, image.astype(np.uint16), image.reshape(32, 64)))
    assert [(pair.first, pair.second, pair.exact) for pair in found] == [("0", "1", False)]


def test_color_images_smaller_than_the_thumbnail_can_be_compared():
    image = np.random.default_rng(0).random((3, 9, 20))
    assert find_shared(prints(image), prints(1 - image, image))[0].second == "1"
    assert find_shared(prints(image), []) == ()


def test_each_of_many_images_that_are_alike_is_told_once_with_the_first_of_them():
    rng = np.random.default_rng(0)
    scene = rng.normal(size=(40, 40))
    series = [scene + rng.normal(0, 0.1, scene.shape) for _ in range(300)]
    found = find_duplicates(prints(*series, series[7]))
    assert [(pair.first, pair.second) for pair in found if not pair.exact] == [("0", str(n)) for n in range(1, 300)]
    assert found[-1] == Duplicate("7", "300", exact=True)
    assert find_shared(prints(*series), prints(series[5], scene)) == (
        Duplicate("5", "0", exact=True),
        Duplicate("0", "1", exact=False),
    )


def test_copies_are_found_across_the_rows_that_are_compared_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(64, 64)) for _ in range(5)]
    images += [images[0].copy(), np.rot90(images[3]) + rng.normal(0, 0.1, (64, 64))]
    seen = prints(*images)
    expected = (Duplicate("0", "5", exact=True), Duplicate("3", "6", exact=False, turned=True))
    assert find_duplicates(seen) == expected
    monkeypatch.setattr(duplicates, "_TILE", 2)
    assert find_duplicates(seen) == expected


def cell(rng, size=64):
    """Return a picture of one bright cell in the middle, with a texture of its own."""
    down, right = (np.arange(size) - size / 2)[:, None], np.arange(size) - size / 2
    radius = rng.uniform(16, 22) + rng.uniform(1, 3) * np.cos(3 * np.arctan2(down, right) + rng.uniform(0, 6))
    inside = gaussian_filter((np.hypot(down, right) < radius).astype(float), 1.5)
    texture = 5 * gaussian_filter(rng.normal(size=(size, size)), 1.5)
    return 40 + 120 * inside * (1 + 0.3 * texture) + rng.normal(0, 3, (size, size))


def test_different_cells_in_the_middle_of_their_images_are_no_copies():
    rng = np.random.default_rng(0)
    cells = [cell(rng) for _ in range(40)]
    seen = prints(*cells)
    thumbnails = np.stack([one.thumbnail.ravel() for one in seen])
    alike = np.triu(thumbnails @ thumbnails.T, 1) > duplicates.MAY_LOOK_ALIKE
    assert alike.any()  # their shapes alone would make them copies
    assert find_duplicates(seen) == ()


@pytest.mark.parametrize("count", [3, 160])
def test_an_image_is_read_again_once_however_many_others_are_like_it(count):
    rng, reads = np.random.default_rng(0), Counter()

    def seen(name, image):
        def read():
            reads[name] += 1
            return image

        return take_fingerprint(name, image, read)

    cells = [seen(str(number), cell(rng)) for number in range(count)]
    find_duplicates(cells)
    assert len(reads) > 0.6 * count
    assert set(reads.values()) == {1}


@pytest.mark.parametrize(
    "copy",
    [
        np.fliplr,
        np.rot90,
        lambda image: 1.4 * image + 20,
        lambda image: np.roll(image, 2, 1),
        lambda image: image[::2, ::2],
    ],
    ids=["mirrored", "turned", "brighter", "moved", "smaller"],
)
def test_a_copy_of_a_cell_is_found_among_others(copy):
    rng = np.random.default_rng(1)
    cells = [cell(rng) for _ in range(20)]
    assert [(pair.first, pair.second) for pair in find_shared(prints(*cells), prints(copy(cells[7])))] == [("7", "0")]


def test_neighboring_slices_of_a_stack_look_alike_and_distant_ones_do_not():
    volume = gaussian_filter(np.random.default_rng(0).normal(size=(30, 96, 96)), (4, 2, 2))
    slices = [
        plane / volume.std() + np.random.default_rng(i).normal(0, 0.1, plane.shape) for i, plane in enumerate(volume)
    ]
    assert len(find_duplicates(prints(*slices[10:13]))) == 2
    assert find_duplicates(prints(slices[0], slices[15], slices[29])) == ()


COPIES = {
    "the same": lambda image: image,
    "noisy": lambda image: image + np.random.default_rng(0).normal(0, 0.1 * image.std(), image.shape),
    "mirrored": np.fliplr,
    "turned": lambda image: np.rot90(image, 3),
    "transposed": np.transpose,
    "smaller": lambda image: image[::2, ::2],
}


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    planted=st.lists(st.tuples(st.integers(0, 7), st.sampled_from(sorted(COPIES))), max_size=4),
    tile=st.integers(1, 6),
    kept=st.integers(1, 3),
    leaf=st.sampled_from([2, 3, 1024]),
)
@example(seed=975, planted=[(1, "noisy"), (0, "mirrored"), (3, "noisy")], tile=1, kept=1, leaf=2)
def test_found_together_are_those_that_are_found_two_by_two(seed, planted, tile, kept, leaf):
    rng = np.random.default_rng(seed)
    images = [cell(rng) for _ in range(3)] + [gaussian_filter(rng.normal(size=(48, 64)), 2) for _ in range(2)]
    for source, how in planted:
        images.insert(int(rng.integers(len(images) + 1)), COPIES[how](images[source % len(images)]))
    seen = prints(*images)
    pairs = {}
    for second in range(len(seen)):
        alike = {first: found[0] for first in range(second) if (found := find_shared([seen[first]], [seen[second]]))}
        exact = {first: found for first, found in alike.items() if found.exact}
        if alike:
            pairs[str(second)] = list((exact or alike).values())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(duplicates, "_TILE", tile)
        patched.setattr(duplicates, "_DETAILS_KEPT", kept)
        patched.setattr(duplicates, "_LEAF", leaf)
        patched.setattr(duplicates, "_TREES", 1 if leaf == 1024 else 300)  # by 50 one pair was missed
        patched.setattr(duplicates, "_in_trees", lambda *_: leaf < 1024)
        found = find_duplicates(seen)
    assert [one.second for one in found] == list(pairs)
    assert all(one in pairs[one.second] for one in found)
    assert len(found) >= sum(how in ("the same", "noisy") for _, how in planted)


def crowd(count, copies):
    """Return different pictures and, last, `copies` of the first of them, of all kinds in turn."""
    rng = np.random.default_rng(0)
    pictures = [gaussian_filter(rng.normal(size=(48, 48)), rng.uniform(1, 3)) for _ in range(count)]
    kinds = [COPIES[how] for how in sorted(COPIES)]
    return prints(*pictures, *(kinds[place % len(kinds)](pictures[place]) for place in range(copies)))


@pytest.mark.parametrize(
    "find", [find_duplicates, lambda seen: find_shared(seen[:900], seen[900:])], ids=["duplicates", "shared"]
)
def test_in_a_crowd_trees_find_the_copies_that_are_found_if_all_are_compared(monkeypatch, find):
    seen = crowd(900, 60)
    expected = find(seen)
    assert len(expected) > 50
    monkeypatch.setattr(duplicates, "_LEAF", 32)
    monkeypatch.setattr(duplicates, "_in_trees", lambda *_: True)
    assert find(seen) == expected


def test_the_time_that_a_crowd_takes_grows_with_the_number_of_images_and_not_of_their_pairs(monkeypatch):
    monkeypatch.setattr(duplicates, "_LEAF", 16)
    monkeypatch.setattr(duplicates, "_TILE", 8)
    pairs, plain = [], duplicates.correlations

    def counted(images, others):
        pairs[-1] += images.shape[2] * others.shape[2]
        return plain(images, others)

    monkeypatch.setattr(duplicates, "correlations", counted)
    seen = crowd(1200, 0)
    for count in (300, 600, 1200):
        pairs.append(0)
        find_duplicates(seen[:count])
    assert pairs[2] < 1.2 * 2 * pairs[1] < 1.2**2 * 4 * pairs[0]


def test_the_best_of_eight_symmetries_is_that_of_turning_and_mirroring_by_hand():
    rng = np.random.default_rng(0)
    seen = prints(*rng.normal(size=(4, 40, 40)))
    thumbnails = [one.thumbnail.astype(float) for one in seen]
    turned = [[np.rot90(flat, turns) for flat in (one, one.T) for turns in range(4)] for one in thumbnails]
    expected = [[max((view * other).sum() for view in views) for other in thumbnails] for views in turned]
    parts = duplicates.even_and_odd(seen)
    np.testing.assert_allclose(duplicates.correlations(parts, parts), expected, atol=1e-5)


def test_an_image_that_cannot_be_read_again_is_like_no_other():
    def gone():
        raise DataError("It is gone.")

    image = cell(np.random.default_rng(0))
    noisy = image + np.random.default_rng(1).normal(0, 1, image.shape)
    assert find_shared(prints(image), prints(noisy))
    assert find_shared(prints(image), [take_fingerprint("b", noisy, gone)]) == ()
