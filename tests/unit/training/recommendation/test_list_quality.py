"""Figures of lists against numbers worked out by hand; popularity by segment and by age."""

import numpy as np
import pytest

from services.training.recommendation.histories import Histories, touched
from services.training.recommendation.popularity import popularity
from tests.benchmarks.recommendation_lists import accuracy, accuracy_of_ranks, variety
from tests.sequences import histories_of
from tests.unit.training.recommendation.shoppers import DAY_US


def test_accuracy_of_lists_with_several_targets() -> None:
    lists = np.array([[4, 2, 7], [1, 3, 5]])
    found = accuracy(lists, [np.array([2, 7, 8, 9]), np.array([0])])
    gained, ideal = 1 / np.log2(3) + 1 / 2, 1 + 1 / np.log2(3) + 1 / 2
    assert found.hit_rate == 0.5
    assert found.recall == pytest.approx((2 / 4 + 0) / 2)
    assert found.ndcg == pytest.approx(gained / ideal / 2), "the ideal is as long as the list"
    assert found.mrr == pytest.approx(1 / 2 / 2)


def test_accuracy_of_ranks_is_that_of_lists_with_one_target() -> None:
    lists = np.array([[4, 2, 7], [1, 3, 5], [1, 3, 5]])
    by_rank = accuracy_of_ranks(np.array([3, 1, 4]), 3)
    assert by_rank == pytest.approx(accuracy(lists, [np.array([7]), np.array([1]), np.array([0])]))


def test_variety_of_lists() -> None:
    histories = histories_of([np.array([0, 1]), np.array([0, 1]), np.array([0, 2]), np.array([3])], 8)
    found = variety(np.array([[0, 1], [0, 3]]), histories)
    assert found.coverage == 3 / 8
    assert found.novelty == pytest.approx(-np.log2([3 / 7, 2 / 7, 3 / 7, 1 / 7]).mean())
    assert found.diversity == pytest.approx(1 - (2 / np.sqrt(3 * 2) + 0) / 2)


def test_popularity_of_a_segment_is_its_own_over_everyones() -> None:
    mens, womens = [np.array([0])] * 500, [np.array([1])] * 1500
    histories = histories_of([*mens, *womens], 3)
    segments = np.repeat(np.array([1, 2], dtype=np.int32), [500, 1500])
    known = Histories(histories.offsets, histories.items, histories.weights, histories.times, 3, segments)
    found = popularity(known, 4, half_life_seconds=None)
    assert found.shape == (4, 3)
    assert found[:, :2].argmax(axis=1).tolist() == [1, 0, 1, 1], "nobody is in segment 3: as everyone"
    assert found.max(axis=1).tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(found[3], found[0])
    assert not found[:, 2].any()


def test_popularity_forgets() -> None:
    histories = histories_of([np.array([0, 0, 0, 1])], 2)
    times = np.array([0, 0, 0, 2 * DAY_US])
    dated = Histories(histories.offsets, histories.items, histories.weights, times, 2, histories.segments)
    found = popularity(dated, 1, half_life_seconds=86_400.0)[0]
    assert found.tolist() == [0.75, 1.0], "three touches of two half-lives ago against one of now"


def test_a_touch_counts_by_the_largest_of_its_weights() -> None:
    histories = histories_of([np.array([1, 1, 0])], 2)
    weights = np.array([0.05, 3.0, 1.0], dtype=np.float32)
    weighed = Histories(histories.offsets, histories.items, weights, histories.times, 2, histories.segments)
    assert touched(weighed).toarray().tolist() == [[1.0, 3.0]]
