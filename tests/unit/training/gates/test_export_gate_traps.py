"""Conversions that go wrong without a word, done as one would who does not know: the gate refuses each."""

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from services.training.data.dataset import TrainingSet
from services.training.refusal import RefusedError
from tests.unit.training.gates.export_scene import AMOUNT, COUNT, MCC, SINCE, check, naively_exported, of_rows, payments


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def refusal(model: ClassifierMixin, data: TrainingSet) -> str:
    with pytest.raises(RefusedError) as refused:
        check(naively_exported(model), model, data)
    assert refused.value.code == "export_gate"
    return str(refused.value)


def boosting(**parameters: object) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=20, random_state=0, **parameters)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(10, max_depth=6, random_state=0)


def test_boosting_with_native_categories() -> None:
    data = payments()
    model = boosting(categorical_features=[MCC]).fit(data.rows, data.frauds)
    assert ": feature mcc;" in refusal(model, data)


def test_a_forest_trained_with_missing_values() -> None:
    data = payments()
    data.rows[::7, COUNT] = np.nan
    model = forest().fit(data.rows, data.frauds)
    assert ": feature card_count_1d;" in refusal(model, data)


def test_a_forest_given_missing_values_that_training_never_met() -> None:
    data = payments()
    model = forest().fit(data.rows, data.frauds)
    assert "rows with a missing value" in refusal(model, data)


def test_boosting_on_an_epoch_in_seconds_trained_in_float64() -> None:
    data = payments()
    exact = data.rows.astype(np.float64)
    exact[:, SINCE] += 1.7e9
    frauds = (exact[:, SINCE] // 4_000 % 3 == 0).astype(np.int8)
    model = boosting().fit(exact, frauds)
    assert ": feature card_seconds_since_last_1d;" in refusal(model, of_rows(exact, frauds))


def test_a_scaler_before_boosting_fitted_in_float64() -> None:
    data = payments()
    scaler = ColumnTransformer([("scaled", StandardScaler(), [AMOUNT])], remainder="passthrough")
    model = make_pipeline(scaler, boosting()).fit(data.rows.astype(np.float64), data.frauds)
    assert ": feature amount;" in refusal(model, data)


def test_isotonic_calibration_over_a_forest() -> None:
    data = payments()
    model = CalibratedClassifierCV(forest(), method="isotonic", cv=3).fit(data.rows, data.frauds)
    said = refusal(model, data)
    assert "no single feature" in said or "one of the features" in said


def test_a_boosting_threshold_rounded_to_the_nearer_float32() -> None:
    data = payments()
    thirds = data.rows.copy()
    thirds[:, AMOUNT] = np.ceil(thirds[:, AMOUNT] / 300) / 3
    model = boosting().fit(thirds, data.frauds)
    assert "split thresholds" in refusal(model, of_rows(thirds, data.frauds))
