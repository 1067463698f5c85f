"""The ONNX graph says what the recommender says, whatever the history."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.training.recommendation.export import export
from services.training.recommendation.recommender import Recommender, scores_of
from tests.recommenders import component, loaded, recommender

ITEMS = 150
MODEL = loaded(recommender())


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    weight = st.floats(0, 1e6, width=32, allow_subnormal=False)
    events = draw(st.lists(st.tuples(st.integers(0, ITEMS - 1), weight), max_size=80))
    return [item for item, _ in events], [each for _, each in events]


@settings(max_examples=150, deadline=None)
@given(histories(), st.integers(0, 2), st.floats(0, 2, width=32), st.integers(1, 2 * ITEMS), st.integers(0, 2**32 - 1))
def test_the_best_items_are_those_of_the_slow_way(
    history: tuple[list[int], list[float]], segment: int, popularity: float, k: int, seed: int
) -> None:
    items, weights = np.array(history[0], dtype=np.int64), np.array(history[1], dtype=np.float32)
    mask = np.random.default_rng(seed).random(ITEMS) < 0.7
    top = MODEL.recommend(items, weights, mask, k=k, segment=segment, popularity=popularity)
    weighed = replace(recommender(), popularity_weight=0.3 * popularity)
    expected = scores_of(weighed, items, weights.astype(np.float64), segment=segment)
    close = 1e-5 * max(1e-30, np.abs(expected).max())
    assert len(top.items) == min(k, mask.sum()) == len(set(top.items.tolist()))
    assert mask[top.items].all()
    np.testing.assert_allclose(top.scores, expected[top.items], rtol=0, atol=close)
    assert (np.diff(expected[top.items]) <= 2 * close).all()
    rest = np.setdiff1d(np.flatnonzero(mask), top.items)
    assert not len(rest) or expected[rest].max() <= expected[top.items].min() + 2 * close


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_blend_may_have_any_number_of_components(count: int) -> None:
    made = replace(recommender(), components=recommender().components[:count])
    top = loaded(made).recommend(np.array([5, 7]), np.ones(2, dtype=np.float32), np.ones(ITEMS, dtype=np.bool_), k=5)
    expected = scores_of(made, np.array([5, 7]), np.ones(2))
    assert top.items.tolist() == np.argsort(-expected, kind="stable")[:5].tolist()


@pytest.mark.parametrize("items", [1, 63, 64, 65, 200])
def test_of_equal_scores_the_lower_position_comes_first_in_catalogues_of_any_size(items: int) -> None:
    flat = replace(recommender(items), popularity=np.ones((3, items), dtype=np.float32))
    nothing = np.empty(0, dtype=np.int64)
    mask = np.arange(items) % 3 > 0
    top = loaded(flat).recommend(nothing, nothing.astype(np.float32), mask, k=items)
    assert top.items.tolist() == np.flatnonzero(mask).tolist()
    np.testing.assert_allclose(top.scores, 0.3)


def test_the_same_recommender_gives_the_same_bytes_and_they_hold_its_tables() -> None:
    content = export(recommender())
    assert content == export(recommender())
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    found = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    for part in recommender().components:
        np.testing.assert_array_equal(found[f"{part.name}.neighbours"], part.neighbours.items)
        np.testing.assert_array_equal(found[f"{part.name}.strengths"], part.neighbours.strengths)
    assert {each.name for each in model.graph.input} == {"items", "weights", "mask", "segment", "popularity", "k"}
    assert [each.name for each in model.graph.output] == ["top", "scores"]


def wrong(made: Recommender) -> dict[str, tuple[Recommender, str]]:
    similar, following, taste = made.components
    beyond = similar.neighbours._replace(items=similar.neighbours.items + 1)
    return {
        "nothing to recommend": (replace(made, item_ids=(), components=()), "without items"),
        "a segment without popularity": (replace(made, segments=("DE",)), "popularity has shape"),
        "two of one name": (replace(made, components=(similar, following, replace(taste, name="next"))), "names of"),
        "tables of other items": (replace(made, components=(component("small", 3),)), "for 150 items"),
        "neighbours beyond": (replace(made, components=(replace(similar, neighbours=beyond),)), "beyond the 150"),
    }


@pytest.mark.parametrize("what", wrong(recommender()))
def test_a_recommender_that_does_not_fit_together_is_refused(what: str) -> None:
    made, told = wrong(recommender())[what]
    with pytest.raises(ValueError, match=told):
        export(made)
