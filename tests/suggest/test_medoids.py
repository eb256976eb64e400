"""Medoids stand for clusters, whatever is fixed already, and the extremes are covered."""

import numpy as np
import pytest

from napari_unet_finetune.suggest.medoids import (
    choose_medoids,
    cover_extremes,
    distances_between,
    nearest_of,
    saturated,
)

RNG = np.random.default_rng(0)
CENTERS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
POINTS = np.concatenate([center + RNG.normal(0, 0.5, (20, 2)) for center in CENTERS])
DISTANCES = distances_between(POINTS)


def clusters_of(chosen):
    return sorted(index // 20 for index in chosen)


def test_one_image_of_each_cluster_is_chosen():
    chosen = choose_medoids(DISTANCES, 3)
    assert clusters_of(chosen) == [0, 1, 2]
    np.testing.assert_array_equal(np.bincount(nearest_of(DISTANCES, chosen)), [20, 20, 20])


def test_what_is_fixed_is_not_chosen_again_nor_is_its_cluster():
    assert clusters_of(choose_medoids(DISTANCES, 2, fixed=[3, 45])) != [0, 2]
    assert 1 in clusters_of(choose_medoids(DISTANCES, 1, fixed=[3, 45]))


def test_no_more_images_are_chosen_than_there_are():
    chosen = choose_medoids(DISTANCES[:4, :4], 9, fixed=[2])
    assert sorted(chosen) == [0, 1, 3]


def test_exchanges_reach_what_the_greedy_choice_misses():
    points = np.array([[0.0], [1.0], [2.0], [8.0], [9.0], [10.0]])
    chosen = choose_medoids(np.abs(points - points.T), 2)
    assert sorted(chosen) == [1, 4]


@pytest.mark.parametrize("scale", [1, 1000])
def test_no_feature_and_no_block_counts_more_for_its_units_or_number(scale):
    one, many = RNG.random((6, 1)), RNG.random((6, 50))
    plain = distances_between(one, many)
    np.testing.assert_allclose(distances_between(one * scale, many), plain)
    np.testing.assert_allclose(distances_between(one, np.repeat(many, 3, axis=1)), plain, atol=1e-6)
    assert np.isfinite(distances_between(np.ones((6, 2)))).all()


def test_the_darkest_and_the_brightest_tenth_are_covered():
    brightness = np.linspace(0, 1, 60)
    before = [25, 30, 33]
    chosen = cover_extremes(DISTANCES, before, brightness, fixed=[])
    assert min(chosen) <= 6 and max(chosen) >= 53 and len(set(chosen)) == 3
    assert cover_extremes(DISTANCES, [2, 30, 58], brightness, fixed=[]) == [2, 30, 58]
    assert cover_extremes(DISTANCES, before, brightness, fixed=[0, 59]) == before
    assert cover_extremes(DISTANCES, before, np.full(60, 0.5), fixed=[]) == before


def test_extremes_that_most_images_share_are_covered_too():
    """Many dark images have one and the same median: all that is chosen may lie in the lowest tenth."""
    brightness = np.zeros(60)
    brightness[[7, 50]] = 1.0
    chosen = cover_extremes(DISTANCES, [25, 30, 33], brightness, fixed=[])
    assert len(set(chosen)) == 3
    assert {brightness[index] for index in chosen} == {0.0}  # nine tenths are alike: there is no highest tenth
    brightness[:10] = 1.0
    chosen = cover_extremes(DISTANCES, [25, 30, 33], brightness, fixed=[])
    assert {brightness[index] for index in chosen} == {0.0, 1.0}


def test_an_outlier_stands_for_nobody_and_is_not_chosen_for_its_distance():
    points = np.concatenate([POINTS, [[300.0, 300.0]]])
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert 60 in choose_medoids(distances, 3)
    assert clusters_of(choose_medoids(saturated(distances), 3)) == [0, 1, 2]
