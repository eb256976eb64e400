"""Tiles cover the image, stay inside it, and their weights add up to one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.inference.tiles import TilePlan, blend_window, plan_tiles

plans = st.builds(
    plan_tiles,
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([8, 16, 24]),
    st.floats(0, 0.89),
)


def blend(plan: TilePlan, image: np.ndarray) -> np.ndarray:
    padded = image[plan.rows.sources[:, None], plan.columns.sources]
    blended = np.zeros(padded.shape, np.float32)
    for tile in plan.tiles:
        weight = np.outer(plan.rows.weights[tile[0]], plan.columns.weights[tile[1]])
        blended[plan.tile_slices(tile)] += weight * padded[plan.tile_slices(tile)]
    return blended[plan.image_slices]


@given(plans)
def test_every_tile_lies_inside_the_padded_image(plan: TilePlan) -> None:
    for axis in (plan.rows, plan.columns):
        assert min(axis.starts) >= 0
        assert max(axis.starts) + axis.tile == axis.padded_size


@given(plans)
def test_every_pixel_is_covered(plan: TilePlan) -> None:
    covered = np.zeros((plan.rows.padded_size, plan.columns.padded_size), bool)
    for tile in plan.tiles:
        covered[plan.tile_slices(tile)] = True
    assert covered.all()


@given(plans, st.integers(0, 1000))
def test_blending_the_image_itself_gives_the_image(plan: TilePlan, seed: int) -> None:
    image = np.random.default_rng(seed).random((plan.rows.size, plan.columns.size), np.float32)
    np.testing.assert_allclose(blend(plan, image), image, atol=1e-6)


@given(plans)
def test_blending_a_constant_gives_the_constant(plan: TilePlan) -> None:
    constant = np.full((plan.rows.size, plan.columns.size), 0.7, np.float32)
    np.testing.assert_allclose(blend(plan, constant), 0.7, atol=1e-6)


@given(st.integers(25, 200), st.sampled_from([8, 16, 24]), st.floats(0, 0.89))
def test_neighbors_overlap_at_least_as_much_as_asked(size: int, tile: int, overlap: float) -> None:
    starts = plan_tiles((size, size), tile, overlap).rows.starts
    assert np.diff(starts).max(initial=0) <= max(1, round(tile * (1 - overlap)))


@given(st.integers(25, 200), st.sampled_from([8, 16, 24]), st.floats(0, 0.89))
def test_tiles_are_spread_evenly(size: int, tile: int, overlap: float) -> None:
    assert np.ptp(np.diff(plan_tiles((size, size), tile, overlap).rows.starts)) <= 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 15])
def test_a_small_image_is_mirrored_to_both_sides(size: int) -> None:
    axis = plan_tiles((size, 40), 16, 0.5).rows
    before = axis.image_slice.start
    expected = np.pad(np.arange(size), (before, 16 - size - before), mode="reflect")
    np.testing.assert_array_equal(axis.sources, expected)
    assert axis.starts == (0,)


def test_a_width_that_is_no_multiple_of_the_stride_gets_no_padding() -> None:
    plan = plan_tiles((558, 136), 128, 0.5)
    assert not plan.needs_padding
    assert plan.columns.starts == (0, 8)


@pytest.mark.parametrize("tile", [1, 8, 127])
def test_the_window_is_positive_symmetric_and_falls_towards_both_ends(tile: int) -> None:
    window = blend_window(tile)
    assert window.min() > 0
    np.testing.assert_allclose(window, window[::-1], rtol=1e-6)
    assert (np.diff(window[: (tile + 1) // 2]) > 0).all()


def test_the_four_tiles_over_a_pixel_are_four_views_of_it() -> None:
    plan = plan_tiles((64, 48), 16, 0.5, mirrored=True)
    over = [tile for tile in plan.tiles if all(s.start <= 20 < s.stop for s in plan.tile_slices(tile))]
    assert {plan.flips(tile) for tile in over} == {(), (-2,), (-1,), (-2, -1)}


def test_where_one_tile_is_enough_it_is_seen_all_four_ways() -> None:
    plan = plan_tiles((10, 16), 16, 0.5, mirrored=True)
    assert sorted(map(plan.flips, plan.tiles)) == sorted([(), (-2,), (-1,), (-2, -1)])


def test_without_mirroring_no_tile_is_mirrored() -> None:
    plan = plan_tiles((64, 48), 16, 0.5)
    assert not any(map(plan.flips, plan.tiles))
