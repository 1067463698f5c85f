"""Average precision by period is that of the period's payments, for whoever scored them."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from services.training.evaluation.curves import Drawn
from services.training.evaluation.periods import periods_of
from services.training.evaluation.scored import DAY_US
from tests.unit.training.evaluation.evaluation_scene import BEGIN_US, scored, shuffled

BEGINS = [BEGIN_US, BEGIN_US + 2 * DAY_US, BEGIN_US + 5 * DAY_US]


def test_each_period_is_measured_by_itself_from_its_first_payment_on() -> None:
    it = scored()
    first, second = np.flatnonzero(it.frauds)[[30, 70]].tolist()
    found = periods_of([Drawn("ours", it)], it.times[[0, first, second]].tolist(), resamples=20)
    for period, taken in zip(found, [slice(first), slice(first, second), slice(second, None)], strict=True):
        interval = period.average_precision["ours"]
        assert interval.value == pytest.approx(average_precision_score(it.frauds[taken], it.scores[taken]))
        assert interval.low < interval.value < interval.high


def test_a_period_is_named_by_its_first_day() -> None:
    found = periods_of([Drawn("ours", scored())], BEGINS, resamples=1)
    assert [period.name for period in found] == ["2024-10-04", "2024-10-06", "2024-10-09"]


def test_a_champion_is_told_where_it_has_payments_new_to_it() -> None:
    it = scored()
    newer = shuffled(it.part(it.times >= BEGINS[1]), 1)
    first, *others = periods_of([Drawn("ours", it), Drawn("theirs", newer)], BEGINS, resamples=20)
    assert set(first.average_precision) == {"ours"}
    assert all(set(period.average_precision) == {"ours", "theirs"} for period in others)


def test_a_period_without_fraud_is_left_out() -> None:
    it = scored()
    quiet = it.part((it.frauds == 0) | (it.times >= BEGINS[1]))
    assert [period.name for period in periods_of([Drawn("ours", quiet)], BEGINS, resamples=20)] == [
        "2024-10-06",
        "2024-10-09",
    ]
