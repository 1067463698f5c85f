"""Every family, as it is served, says what it said when it was trained: on any payment."""

import functools

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import ParameterSampler

from services.training.estimators.calibrated import Calibrated
from services.training.estimators.export import export
from services.training.estimators.families import FAMILIES, Spec, fit
from shared.models.session import OnnxModel
from tests.unit.training.estimators.scene import (
    CHANNEL,
    CONSTANT,
    MCC,
    MCCS,
    WIDTH,
    Rows,
    average_precision,
    loaded,
    payments,
    spec,
    training_set,
)
from tests.unit.training.estimators.thresholds import thresholds_of

BOUND = 1e-5
EXTREMES = np.array([0, -1, 1e-38, -1e30, 1e30, 1.7e9], dtype=np.float32)
CANDIDATES = [spec(family) for family in FAMILIES] + [
    spec(family, anomaly_features=True) for family in FAMILIES if "anomaly_features" in FAMILIES[family].defaults
]
every_candidate = pytest.mark.parametrize("candidate", CANDIDATES, ids=str)


@functools.cache
def trained(candidate: Spec) -> Calibrated:
    return fit(candidate, payments())


@functools.cache
def served(candidate: Spec) -> OnnxModel:
    return loaded(trained(candidate))


def difference(model: BaseEstimator, onnx: OnnxModel, rows: Rows) -> float:
    return float(np.abs(onnx.scores(rows) - model.predict_proba(rows)[:, 1]).max())


def one_at_a_time(rows: Rows, column: int, values: Rows) -> Rows:
    """Return each of `rows` with each of `values` in one column."""
    changed = np.repeat(rows, len(values), axis=0)
    changed[:, column] = np.tile(values, len(rows))
    return changed


def with_gaps() -> Rows:
    gap = np.array([np.nan], dtype=np.float32)
    each = [one_at_a_time(payments(100, seed=2).rows, column, gap) for column in range(WIDTH)]
    return np.concatenate([*each, np.full((1, WIDTH), np.nan, dtype=np.float32)])


def with_every_category() -> Rows:
    codes = np.array([*MCCS, *(MCCS + 1), -1, 0.5, 16_777_216], dtype=np.float32)
    return np.concatenate([one_at_a_time(payments(50, seed=3).rows, column, codes) for column in (MCC, CHANNEL)])


def with_extremes() -> Rows:
    return np.concatenate([one_at_a_time(payments(20, seed=4).rows, column, EXTREMES) for column in range(WIDTH)])


def around_thresholds(candidate: Spec) -> Rows:
    rows, probes = payments(40, seed=5).rows, []
    for column, thresholds in thresholds_of(trained(candidate)).items():
        on = np.array(thresholds).astype(np.float32)
        probe = rows[np.arange(3 * len(on)) % len(rows)]
        beside = [np.nextafter(on, np.float32(-np.inf)), on, np.nextafter(on, np.float32(np.inf))]
        probe[:, column] = np.concatenate(beside)
        probes.append(probe)
    return np.concatenate([rows[:1], *probes])


@every_candidate
def test_a_served_model_says_what_the_trained_one_says(candidate: Spec) -> None:
    probes = {
        "training payments": payments().rows,
        "held-out payments": payments(seed=1).rows,
        "gaps": with_gaps(),
        "categories, seen or not": with_every_category(),
        "extremes": with_extremes(),
        "both sides of thresholds": around_thresholds(candidate),
    }
    model, onnx = trained(candidate), served(candidate)
    assert {what: difference(model, onnx, rows) for what, rows in probes.items()} == {
        what: pytest.approx(0, abs=BOUND) for what in probes
    }


@every_candidate
def test_the_same_payments_and_seed_give_the_same_file(candidate: Spec) -> None:
    assert export(fit(candidate, payments()), WIDTH) == export(trained(candidate), WIDTH)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in {"isolation_forest", "segment_distance"}])
def test_every_family_that_is_given_labels_learns_from_them(family: str) -> None:
    later = payments(seed=1)
    assert average_precision(trained(spec(family)), later) > 4 * later.frauds.mean()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_search_may_draw_trains_and_is_served_alike(family: str) -> None:
    data = payments(300)
    for drawn in ParameterSampler(FAMILIES[family].space, 2, random_state=1):
        small = {name: value for name, value in spec(family).parameters.items() if name != "genuine_fraction"}
        model = fit(Spec(family, {**drawn, **small}), data)
        assert difference(model, loaded(model), data.rows) <= BOUND


@pytest.mark.parametrize("family", FAMILIES)
def test_payments_that_are_all_alike_still_give_a_model(family: str) -> None:
    rows = np.full((200, WIDTH), 3, dtype=np.float32)
    model = fit(spec(family), training_set(rows, (np.arange(200) % 10 == 0).astype(np.int8)))
    assert difference(model, loaded(model), payments(100).rows) <= BOUND


@pytest.mark.parametrize("family", FAMILIES)
def test_a_feature_that_is_always_missing_still_gives_a_model(family: str) -> None:
    data = payments(300)
    data.rows[:, [MCC, CONSTANT]] = np.nan
    model = fit(spec(family), data)
    assert difference(model, loaded(model), payments(300, seed=1).rows) <= BOUND


@pytest.mark.parametrize("family", ["logistic_l2", "gradient_boosting", "multilayer_perceptron", "stacking"])
def test_a_calibration_that_spreads_scores_next_to_one_is_served_alike(family: str) -> None:
    """What a probability in float32 loses next to 1, half the log odds would show in the middle."""
    model = fit(spec(family), payments()).set_params(slope=0.5, intercept=-4.0)
    amounts = np.linspace(0, 500, 50, dtype=np.float32)
    assert difference(model, loaded(model), one_at_a_time(payments(100, seed=6).rows, 0, amounts)) <= BOUND
