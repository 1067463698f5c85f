"""The feature at fault is the one without whose value two models agree."""

import numpy as np
import pytest

from services.training.gates.fault import Agree, features_at_fault
from services.training.gates.probe import Rows, spread
from tests.unit.training.gates.export_scene import AMOUNT, COUNT, MCC, SINCE, payments

ROWS = payments(500).rows
A_THIRD = np.float32(10_000 / 3)


def blamed(agree: Agree, rows: Rows) -> list[int]:
    assert not agree(rows).any()
    return [int(feature) for feature in features_at_fault(agree, rows, spread(ROWS, 16), ROWS, [MCC])]


def test_a_rounded_threshold_on_a_path_through_other_features() -> None:
    row = ROWS[:1].copy()
    row[0, [AMOUNT, COUNT]] = A_THIRD, 9
    assert blamed(lambda rows: (rows[:, AMOUNT] != A_THIRD) | (rows[:, COUNT] < 8), row) == [AMOUNT]


def test_a_category_that_only_matters_for_large_amounts() -> None:
    rows = ROWS[(ROWS[:, MCC] == 3) & (ROWS[:, AMOUNT] > 20_000)][:8]
    assert blamed(lambda rows: (rows[:, MCC] != 3) | (rows[:, AMOUNT] < 20_000), rows) == [MCC]


def test_a_missing_value() -> None:
    rows = ROWS[:8].copy()
    rows[:, COUNT] = np.nan
    assert blamed(lambda rows: ~np.isnan(rows[:, COUNT]), rows) == [COUNT]


def test_two_features_that_are_at_fault_together_are_both_named() -> None:
    row = ROWS[:1].copy()
    row[0, [AMOUNT, SINCE]] = 1e6
    assert sorted(blamed(lambda rows: (rows[:, AMOUNT] < 1e5) | (rows[:, SINCE] < 1e5), row)) == [AMOUNT, SINCE]


@pytest.mark.parametrize("count", [1, 8])
def test_models_that_disagree_everywhere_have_no_feature_at_fault(count: int) -> None:
    assert blamed(lambda rows: np.zeros(len(rows), dtype=bool), ROWS[:count]) == []
