"""The recommendation model in memory: what it says of its scores, what it knows, and what it refuses."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.training.recommendation.export import export
from shared.features.state import identity
from shared.models.manifest import RecommendationProbe
from shared.models.recommender import RecommenderModel
from shared.models.recommender_graph import METADATA_KEY
from tests.models import onnx_bytes
from tests.recommenders import loaded, manifest_of, recommender

ITEMS = 150
MODEL = loaded(recommender())
EVERYTHING = np.ones(ITEMS, dtype=np.bool_)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, ITEMS - 1), max_size=80),
    st.integers(0, 2),
    st.floats(0, 2, width=32),
    st.integers(0, 2**32 - 1),
)
def test_contributions_sum_to_the_graphs_scores(history: list[int], segment: int, popularity: float, seed: int) -> None:
    items = np.array(history, dtype=np.int64)
    weights = np.random.default_rng(seed).random(len(items)).astype(np.float32)
    top = MODEL.recommend(items, weights, EVERYTHING, k=ITEMS, segment=segment, popularity=popularity)
    found = MODEL.contributions(items, weights, top.items, segment=segment, popularity=popularity)
    assert found.history.shape == (ITEMS, len(items))
    close = 1e-5 * max(1e-30, np.abs(top.scores).max())
    np.testing.assert_allclose(found.history.sum(axis=1) + found.popularity, top.scores, rtol=0, atol=close)


def test_an_interaction_contributes_what_the_score_loses_without_it() -> None:
    plain = loaded(replace(recommender(), components=recommender().components[2:]))
    items, weights = np.array([3, 9, 4]), np.array([1.0, 2.0, 3.0], dtype=np.float32)
    whole = plain.recommend(items, weights, EVERYTHING, k=ITEMS)
    contributed = plain.contributions(items, weights, np.arange(ITEMS)).history
    for place in range(3):
        without = np.where(np.arange(3) == place, 0, weights)
        rest = plain.recommend(items, without, EVERYTHING, k=ITEMS)
        lost = whole.scores[np.argsort(whole.items)] - rest.scores[np.argsort(rest.items)]
        assert np.count_nonzero(contributed[:, place]) > 0
        np.testing.assert_allclose(contributed[:, place], lost, atol=1e-5)


def test_items_are_found_by_id_and_by_hash() -> None:
    assert MODEL.position("item-7") == 7
    assert MODEL.position("nothing") is None
    hashes = np.array([identity(name) for name in ("item-149", "nothing", "item-0", "item-149")])
    assert MODEL.positions_of(hashes).tolist() == [149, -1, 0, 149]
    assert MODEL.positions_of(hashes[:0]).tolist() == []


@pytest.mark.parametrize("unknown", [-1, ITEMS])
def test_a_history_of_unknown_items_is_refused_rather_than_read_beyond_the_tables(unknown: int) -> None:
    items, weights = np.array([4, unknown]), np.ones(2, dtype=np.float32)
    with pytest.raises(ValueError, match=f"is .*{unknown}.* leave out"):
        MODEL.recommend(items, weights, EVERYTHING, k=3)
    with pytest.raises(ValueError, match=f"is .*{unknown}.* leave out"):
        MODEL.contributions(items, weights, np.array([0]))


@pytest.mark.parametrize("segment", [-1, 3])
def test_a_segment_that_there_is_not_is_refused(segment: int) -> None:
    with pytest.raises(ValueError, match=f"segment must be 0 to 2, not {segment}"):
        MODEL.recommend(np.array([4]), np.ones(1, dtype=np.float32), EVERYTHING, k=3, segment=segment)


def test_what_came_before_the_longest_component_does_not_count() -> None:
    assert MODEL.history_max == 50
    items, weights = np.arange(120), np.ones(120, dtype=np.float32)
    for left, right in zip(
        MODEL.recommend(items, weights, EVERYTHING, k=10),
        MODEL.recommend(items[:50], weights[:50], EVERYTHING, k=10),
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)
    contributions = MODEL.contributions(items, weights, np.array([1, 2])).history
    assert contributions[:, :50].any()
    assert not contributions[:, 50:].any()


def test_histories_may_be_views() -> None:
    items, weights = np.arange(40), np.linspace(1, 2, 40, dtype=np.float32)
    backwards = MODEL.recommend(items[::-2], weights[::-2], EVERYTHING, k=5)
    copied = MODEL.recommend(items[::-2].copy(), weights[::-2].copy(), EVERYTHING, k=5)
    np.testing.assert_array_equal(backwards.items, copied.items)
    np.testing.assert_array_equal(
        MODEL.contributions(items[::-2], weights[::-2], backwards.items).history,
        MODEL.contributions(items[::-2].copy(), weights[::-2].copy(), copied.items).history,
    )


def test_threads_get_what_each_asked_for() -> None:
    random = np.random.default_rng(3)
    asked = [random.integers(0, ITEMS, 30) for _ in range(200)]

    def answer(items: npt.NDArray[np.int64]) -> list[int]:
        weights = np.ones(len(items), dtype=np.float32)
        top = MODEL.recommend(items, weights, EVERYTHING, k=10).items
        MODEL.contributions(items, weights, top)
        return [int(item) for item in top]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(answer, asked)) == [answer(items) for items in asked]


def changed(graph: bytes, *, name: str) -> bytes:
    """Return a graph whose table `name` has lost its last row."""
    model = onnx.load_from_string(graph)
    (table,) = (each for each in model.graph.initializer if each.name == name)
    table.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(table)[:-1], name))
    content: bytes = model.SerializeToString()
    return content


def test_a_graph_that_is_no_recommenders_is_refused_with_the_reason() -> None:
    good = export(recommender())
    tables = [(changed(good, name=name), name) for name in ("taste.neighbours", "next.strengths", "popularity.table")]
    for content, told in [(b"no graph", "no ONNX graph"), (onnx_bytes(), METADATA_KEY), *tables]:
        with pytest.raises(ValueError, match=told):
            RecommenderModel(manifest_of(content), content)


def test_a_probe_that_was_answered_otherwise_keeps_the_model_out() -> None:
    top = MODEL.recommend(np.array([3]), np.ones(1, dtype=np.float32), EVERYTHING, k=2)
    good = RecommendationProbe(items=[3], weights=[1.0], segment=0, top=top.items.tolist(), scores=top.scores.tolist())
    assert loaded(recommender(), probes=[good]).manifest.probes == [good]
    others = [
        RecommendationProbe(
            items=[3], weights=[1.0], segment=0, top=good.top, scores=[good.scores[0] + 1e-3, good.scores[1]]
        ),
        RecommendationProbe(items=[3], weights=[1.0], segment=0, top=good.top[::-1], scores=good.scores),
    ]
    for probe in others:
        with pytest.raises(ValueError, match="probe 2 of 2"):
            loaded(recommender(), probes=[good, probe])
