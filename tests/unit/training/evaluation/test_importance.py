"""A feature is as important as what is lost without it."""

import numpy as np
import numpy.typing as npt
import pytest

from services.training.evaluation import importance
from services.training.evaluation.importance import permutation_importances

Rows = npt.NDArray[np.float32]
NAMES = ["noise", "strong", "weak"]


def scene() -> tuple[Rows, npt.NDArray[np.int8]]:
    rng = np.random.default_rng(0)
    frauds = (rng.random(3_000) < 0.1).astype(np.int8)
    rows = rng.normal(0, 1, (3_000, 3)).astype(np.float32)
    rows[:, 1] += 3 * frauds
    rows[:, 2] += frauds
    return rows, frauds


def score(rows: Rows) -> npt.NDArray[np.float32]:
    return rows[:, 1] * 3 + rows[:, 2]


def test_features_are_listed_by_what_the_model_loses_without_them() -> None:
    rows, frauds = scene()
    found = permutation_importances(score, rows, frauds, NAMES)
    assert [it.feature for it in found] == ["strong", "weak", "noise"]
    assert found[0].drop > 0.5
    assert 0 < found[1].drop < 0.2
    assert found[2] == ("noise", 0.0, 0.0, 0.0)
    assert all(it.low <= it.drop <= it.high for it in found)


def test_the_rows_are_left_as_they_were() -> None:
    rows, frauds = scene()
    before = rows.copy()
    permutation_importances(score, rows, frauds, NAMES)
    np.testing.assert_array_equal(rows, before)


def test_of_many_rows_only_some_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "ROWS_MAX", 500)
    rows, frauds = scene()
    scored = []

    def counting(of: Rows) -> npt.NDArray[np.float32]:
        scored.append(len(of))
        return score(of)

    permutation_importances(counting, rows, frauds, NAMES)
    assert set(scored) == {500}
