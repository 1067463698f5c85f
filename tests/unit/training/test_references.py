"""References against a count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.training.references import EDGES_MAX, SHARE_MIN, category_reference, reference


@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=300), st.integers(0, 300))
def test_a_reference_is_a_count_of_the_values(positive: list[float], zeros: int) -> None:
    values = np.array([*positive, *([0.0] * zeros)], dtype=np.float32)
    made = reference(values)
    counted = np.bincount(made.bins_of(values), minlength=len(made.edges) + 1)
    assert made.fractions == pytest.approx((counted / len(values)).tolist())
    assert sum(made.fractions) == pytest.approx(1)
    assert len(made.edges) <= EDGES_MAX
    assert made.edges == sorted(set(made.edges))
    assert all(fraction > 0 for fraction in made.fractions)


def test_a_feature_that_is_nearly_always_zero_is_still_watched_where_it_is_not() -> None:
    values = np.zeros(1000, dtype=np.float32)
    values[:20] = np.linspace(0.1, 1, 20)
    made = reference(values)
    assert made.fractions[0] == 0.98
    assert made.fractions[1:] == pytest.approx([0.005] * 4)


def test_a_constant_has_one_bin() -> None:
    assert reference(np.ones(10, dtype=np.float32)).fractions == [1.0]


@given(st.lists(st.tuples(st.integers(0, 9_999), st.integers(1, 300)), min_size=1, max_size=60))
def test_a_category_has_a_bin_for_each_frequent_code_and_one_for_the_others(drawn: list[tuple[int, int]]) -> None:
    codes = np.repeat(*np.array(drawn).T).astype(np.float32)
    made = category_reference(codes)
    counted = np.bincount(made.bins_of(np.asarray(codes, dtype=np.float64)), minlength=len(made.codes) + 1)
    assert made.fractions == pytest.approx((counted / len(codes)).tolist())
    assert made.codes == sorted(set(made.codes))
    assert len(made.codes) <= EDGES_MAX
    assert all(share >= SHARE_MIN for share in made.fractions[:-1])
    shares = {code: float((codes == code).mean()) for code in set(codes.tolist())}
    left_out = [share for code, share in shares.items() if code not in made.codes]
    if len(made.codes) < EDGES_MAX:
        assert all(share < SHARE_MIN for share in left_out)
    else:
        assert max(left_out, default=0) <= min(made.fractions[:-1])


def test_a_code_between_two_known_ones_is_another() -> None:
    made = category_reference(np.array([82.0, 82.0, 91.0, 91.0], dtype=np.float32))
    assert made.bins_of(np.array([82.0, 91.0, 83.0, 0.0, 9_999.0])).tolist() == [0, 1, 2, 2, 2]
    assert made.fractions == [0.5, 0.5, 0.0]
