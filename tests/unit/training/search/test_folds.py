"""Folds: in order of time, a gap between, and refusals that tell what is missing."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.training.data.folds import prequential_folds, with_both_classes
from services.training.refusal import RefusedError

TIMES = np.arange(0, 100, dtype=np.int64)


def test_test_periods_follow_each_other_up_to_the_newest_payment() -> None:
    folds = prequential_folds(TIMES, count=3, test_us=10, gap_us=5)
    assert [TIMES[fold.test].tolist() for fold in folds] == [[*range(70, 80)], [*range(80, 90)], [*range(90, 100)]]
    assert [TIMES[fold.train].tolist() for fold in folds] == [[*range(65)], [*range(75)], [*range(85)]]


def test_a_training_period_is_what_is_learnt_from_at_most() -> None:
    folds = prequential_folds(TIMES, count=2, test_us=10, gap_us=5, train_us=20)
    assert [TIMES[fold.train].tolist() for fold in folds] == [[*range(55, 75)], [*range(65, 85)]]


@given(
    times=st.lists(st.integers(0, 200), min_size=20, max_size=60).map(sorted),
    count=st.integers(1, 4),
    test_us=st.integers(5, 30),
    gap_us=st.integers(0, 10),
    train_us=st.none() | st.integers(1, 50),
)
def test_whatever_the_times_the_past_is_learnt_from_and_no_payment_is_measured_on_twice(
    times: list[int], count: int, test_us: int, gap_us: int, train_us: int | None
) -> None:
    at = np.array(times, dtype=np.int64)
    try:
        folds = prequential_folds(at, count=count, test_us=test_us, gap_us=gap_us, train_us=train_us)
    except RefusedError:
        assume(False)
    assert len(folds) == count
    assert np.sum([fold.test for fold in folds], axis=0).max() == 1
    assert folds[-1].test[-1]
    for fold in folds:
        assert at[fold.train].max() + gap_us < at[fold.test].min()


@pytest.mark.parametrize("times", [TIMES, TIMES[:0]])
def test_a_history_too_short_for_the_folds_is_refused(times: np.ndarray) -> None:
    with pytest.raises(RefusedError, match=r"10 test periods .* wait for more payments, or ask for fewer") as caught:
        prequential_folds(times, count=10, test_us=10)
    assert caught.value.code == "too_short"


def test_a_fold_without_frauds_to_measure_on_is_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    frauds = (TIMES < 85).astype(np.int8) * (TIMES % 2 == 0).astype(np.int8)
    folds = prequential_folds(TIMES, count=3, test_us=10)
    assert with_both_classes(folds, frauds) == folds[:2]
    assert "fold 3 of 3 is left out: it has 10 payments to measure on, 0 of them frauds" in caplog.text


def test_a_fold_without_frauds_to_learn_from_is_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    frauds = (TIMES > 85).astype(np.int8) * (TIMES % 2 == 0).astype(np.int8)
    folds = prequential_folds(TIMES, count=2, test_us=10)
    assert with_both_classes(folds, frauds) == folds[1:]
    assert "fold 1 of 2 is left out: it has 80 payments to learn from, 0 of them frauds" in caplog.text
