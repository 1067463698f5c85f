"""The export gate passes a faithful export of any kind, and stops one that was changed in the least."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from services.training.estimators.anomaly import AnomalyClassifier, IsolationDepth
from services.training.estimators.boosting import Boosting
from services.training.estimators.calibrated import UNLABELLED, Calibrated
from services.training.estimators.export import export
from services.training.estimators.preparation import numbers_only, preparation
from services.training.estimators.transfer import SegmentSpecialist
from services.training.gates.export_gate import BOUND
from services.training.refusal import RefusedError
from tests.unit.training.gates.export_scene import (
    AMOUNT,
    COUNT,
    MCC,
    NAMES,
    RISKY_CODES,
    check,
    of_rows,
    payments,
    trees,
)

WIDTH = len(NAMES)
DATA = payments(1_000)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def prepared(*steps: BaseEstimator) -> Pipeline:
    return make_pipeline(preparation([MCC], WIDTH, 0), *steps)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(10, max_depth=6, random_state=0)


def boosting() -> Boosting:
    return Boosting(max_iter=20, early_stopping=False, random_state=0)


def numbers(*steps: BaseEstimator) -> Pipeline:
    return make_pipeline(numbers_only([MCC], WIDTH), *steps)


KINDS = {
    "logistic regression": prepared(StandardScaler(), LogisticRegression()),
    "decision tree": prepared(DecisionTreeClassifier(max_depth=6, random_state=0)),
    "random forest": prepared(forest()),
    "extra trees": prepared(ExtraTreesClassifier(10, max_depth=6, random_state=0)),
    "gradient boosting": prepared(GradientBoostingClassifier(n_estimators=20, random_state=0)),
    "histogram boosting": prepared(boosting()),
    "bagging": prepared(BaggingClassifier(DecisionTreeClassifier(max_depth=4), 5, random_state=0)),
    "voting": VotingClassifier(
        [("forest", prepared(forest())), ("boosting", prepared(boosting()))], voting="soft", flatten_transform=False
    ),
    "stacking": StackingClassifier(
        [("forest", prepared(forest())), ("boosting", prepared(boosting()))], stack_method="predict_proba", cv=3
    ),
    "sigmoid calibration": CalibratedClassifierCV(prepared(forest()), cv=3),
    "undersampling": Calibrated(prepared(forest()), genuine_fraction=0.5),
    "self-training": Calibrated(SelfTrainingClassifier(prepared(boosting()))),
    "isolation forest": Calibrated(numbers(IsolationDepth(trees=10), AnomalyClassifier())),
    "boosting on anomalies": Calibrated(prepared(IsolationDepth(trees=10), boosting())),
}


@functools.cache
def fitted(kind: str) -> BaseEstimator:
    frauds = DATA.frauds.copy()
    if kind == "self-training":
        frauds[::5] = UNLABELLED
    return clone(KINDS[kind]).fit(DATA.rows, frauds)


@functools.cache
def specialist() -> SegmentSpecialist:
    segment = DATA.part(DATA.rows[:, MCC] == RISKY_CODES[0])
    special = Calibrated(prepared(boosting())).fit(segment.rows, segment.frauds)
    return SegmentSpecialist(fitted("undersampling"), special, feature=MCC, code=RISKY_CODES[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_faithful_export_agrees_within_the_bound(kind: str) -> None:
    model = fitted(kind)
    assert check(export(model, WIDTH), model, DATA) <= BOUND


def test_a_faithful_export_of_a_specialist_agrees_within_the_bound() -> None:
    model = specialist()
    assert check(export(model, WIDTH), model, DATA) <= BOUND


def test_a_category_that_is_always_missing_does_no_harm() -> None:
    rows = DATA.rows.copy()
    rows[:, MCC] = np.nan
    data = of_rows(rows, DATA.frauds)
    model = prepared(forest()).fit(data.rows, data.frauds)
    assert check(export(model, WIDTH), model, data) <= BOUND


def said_of(changed: onnx.ModelProto, model: BaseEstimator) -> str:
    with pytest.raises(RefusedError) as refused:
        check(changed.SerializeToString(), model, DATA)
    assert refused.value.code == "export_gate"
    return str(refused.value)


def split_on(attributes: dict[str, Any], column: int) -> int:
    """Return the place of the first split on a prepared column."""
    nodes = zip(attributes["nodes_featureids"].ints, attributes["nodes_modes"].strings, strict=True)
    return next(at for at, (feature, mode) in enumerate(nodes) if feature == column and mode == b"BRANCH_LEQ")


@pytest.mark.parametrize("towards", [np.inf, -np.inf])
@pytest.mark.parametrize(
    "kind", ["decision tree", "random forest", "extra trees", "histogram boosting", "undersampling"]
)
def test_a_threshold_moved_by_one_float32_is_refused_and_its_feature_named(kind: str, towards: float) -> None:
    model = fitted(kind)
    changed, attributes = trees(export(model, WIDTH))
    thresholds = attributes["nodes_values"].floats
    at = split_on(attributes, AMOUNT)
    thresholds[at] = np.nextafter(np.float32(thresholds[at]), np.float32(towards))
    assert ": feature amount;" in said_of(changed, model)


@pytest.mark.parametrize("towards", [np.inf, -np.inf])
def test_a_threshold_behind_a_scaler_moved_by_one_float32_is_refused(towards: float) -> None:
    """The scaler halves, which is exact, in scikit-learn as in ONNX; most would not pass before trees."""
    whole = fitted("random forest")[:-1].transform(DATA.rows)
    halving = StandardScaler(with_mean=False).fit(np.repeat([[-2.0], [2.0]], WIDTH, axis=1))
    trained = forest().fit(halving.transform(whole), DATA.frauds)
    model = make_pipeline(fitted("random forest")[0], halving, trained)
    assert check(export(model, WIDTH), model, DATA) <= BOUND
    changed, attributes = trees(export(model, WIDTH))
    thresholds = attributes["nodes_values"].floats
    at = split_on(attributes, AMOUNT)
    thresholds[at] = np.nextafter(np.float32(thresholds[at]), np.float32(towards))
    assert ": feature amount;" in said_of(changed, model)


def test_a_threshold_of_a_specialist_is_met_by_payments_of_its_segment() -> None:
    model = specialist()
    changed = onnx.load_from_string(export(model, WIDTH))
    *_, last = (node for node in changed.graph.node if node.op_type.startswith("TreeEnsemble"))
    attributes = {attribute.name: attribute for attribute in last.attribute}
    thresholds, at = attributes["nodes_values"].floats, split_on(attributes, AMOUNT)
    thresholds[at] = np.nextafter(np.float32(thresholds[at]), np.float32(np.inf))
    assert "split thresholds" in said_of(changed, model)


def test_a_swapped_feature_is_refused() -> None:
    model = fitted("decision tree")
    changed, attributes = trees(export(model, WIDTH))
    attributes["nodes_featureids"].ints[split_on(attributes, AMOUNT)] = COUNT
    said = said_of(changed, model)
    assert "amount" in said or "card_count_1d" in said


@pytest.mark.parametrize("change", ["a rate", "two rates exchanged", "the unseen"])
def test_a_changed_rate_of_a_category_is_refused_and_the_category_named(change: str) -> None:
    model = fitted("random forest")
    changed = onnx.load_from_string(export(model, WIDTH))
    (encoder,) = (node for node in changed.graph.node if node.op_type == "LabelEncoder")
    attributes = {attribute.name: attribute for attribute in encoder.attribute}
    rates = attributes["values_floats"].floats
    highest, lowest = int(np.argmax(rates)), int(np.argmin(rates))
    if change == "a rate":
        rates[highest] = rates[lowest]
    elif change == "two rates exchanged":
        rates[highest], rates[lowest] = rates[lowest], rates[highest]
    else:
        attributes["default_float"].f = rates[highest]
    assert ": feature mcc;" in said_of(changed, model)


def changed_leaf(by: float) -> tuple[onnx.ModelProto, BaseEstimator]:
    model = fitted("random forest")
    changed, attributes = trees(export(model, WIDTH))
    weights = attributes["class_weights"].floats
    weights[len(weights) // 2] += by
    return changed, model


def test_a_changed_leaf_is_refused() -> None:
    assert "differs from the scikit-learn model by 0.001 " in said_of(*changed_leaf(0.001))


def test_a_model_that_answers_no_number_is_refused() -> None:
    assert "differs from the scikit-learn model by nan" in said_of(*changed_leaf(float("nan")))
