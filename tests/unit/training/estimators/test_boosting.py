"""Boosted trees mean the same in float32, and go on in the bins that they were grown in."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from services.training.estimators.boosting import Boosting
from services.training.estimators.trees import rounded_down


def test_a_threshold_is_rounded_down_to_a_float32() -> None:
    one, next_to_it = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    between = (float(one) + 3 * float(next_to_it)) / 4
    assert np.float32(between) == next_to_it, "rounded to the nearer, a payment of that value would go left"
    assert rounded_down(np.array([between, 1.0, -between])).tolist() == [1.0, 1.0, -float(next_to_it)]


def shift(kind: type[HistGradientBoostingClassifier]) -> float:
    """Return by how much one more tree, grown on the larger half of the same payments, moves their log odds."""
    rng = np.random.default_rng(0)
    rows = rng.gamma(2, 20, (2_000, 4)).astype(np.float32)
    frauds = rng.random(2_000) < 1 / (1 + np.exp(4 - rows[:, 0] / 20))
    larger = rows[:, 0] > np.median(rows[:, 0])
    model = kind(max_iter=30, early_stopping=False, random_state=0).fit(rows, frauds)
    before = model.decision_function(rows[larger])
    model.set_params(warm_start=True, max_iter=31, learning_rate=1.0, max_depth=1).fit(rows[larger], frauds[larger])
    return float(np.abs(model.decision_function(rows[larger]) - before).mean())


def test_going_on_with_payments_that_a_model_knows_changes_little() -> None:
    """In bins of the new payments' own it would misread its trees, and mend what is no fault."""
    assert shift(Boosting) == pytest.approx(0, abs=0.3)
    assert shift(HistGradientBoostingClassifier) > 2 * shift(Boosting)
