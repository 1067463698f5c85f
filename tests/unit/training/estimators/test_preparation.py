"""Categories become rates of fraud and gaps become medians, the same in scikit-learn and in ONNX."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from services.training.estimators.calibrated import Calibrated
from services.training.estimators.families import build, fit
from services.training.estimators.preparation import SMOOTHING_PAYMENTS, prepared, rates_of
from shared.features.catalog.fraud import HANDBOOK
from shared.models.session import OnnxModel
from tests.unit.training.estimators.scene import AMOUNT, MCC, MCCS, WIDTH, loaded, payments, spec
from tests.unit.training.estimators.thresholds import raw_columns


@pytest.fixture(scope="module")
def model() -> Calibrated:
    return fit(spec("random_forest"), payments())


@pytest.fixture(scope="module")
def onnx(model: Calibrated) -> OnnxModel:
    return loaded(model)


def test_a_category_is_its_fraud_rate_drawn_to_the_overall_one(model: Calibrated) -> None:
    data = payments()
    known = rates_of(model.estimator_)[MCC]
    assert known.codes.tolist() == MCCS.tolist()
    assert known.unseen == pytest.approx(data.frauds.mean())
    of_code = [data.frauds[data.rows[:, MCC] == code] for code in MCCS]
    assert known.rates == pytest.approx(
        [(own.sum() + SMOOTHING_PAYMENTS * known.unseen) / (len(own) + SMOOTHING_PAYMENTS) for own in of_code]
    )


def test_a_forest_sees_rates_medians_for_gaps_and_everything_else_as_it_is(model: Calibrated) -> None:
    rows, rates = payments().rows, rates_of(model.estimator_)
    seen, columns = prepared(model.estimator_, rows), raw_columns(model.estimator_)
    assert sorted(columns) == list(range(WIDTH))
    assert seen.dtype == np.float32
    for at, column in enumerate(columns):
        values = rows[:, column]
        if column in rates:
            known = dict(zip(rates[column].codes, rates[column].rates, strict=True))
            wanted = np.array([known.get(code, rates[column].unseen) for code in values])
        else:
            wanted = np.where(np.isnan(values), np.nanmedian(values), values)
        assert seen[:, at] == pytest.approx(wanted, rel=1e-6)


def test_columns_made_of_several_raw_ones_are_told() -> None:
    pipeline = fit(spec("logistic_l2", anomaly_features=True), payments()).estimator_
    assert raw_columns(pipeline) == [MCC, 4, 0, 2, 3, 5, 6, -1, -1]
    assert prepared(pipeline, payments().rows).shape[1] == WIDTH + 2


def test_a_payment_in_a_category_of_its_own_is_not_trained_on_its_own_label() -> None:
    data = payments()
    data.rows[:, MCC] = np.arange(len(data.rows))
    pipeline: Pipeline = fit(spec("random_forest", max_features=1.0), data).estimator_
    at = raw_columns(pipeline).index(MCC)
    assert pipeline[-1].feature_importances_[at] < 0.15, "a rate that held the label would explain everything"


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(MCCS.tolist()), st.integers(-1, 20_000)),
            st.floats(0, 1e6, width=32) | st.just(float("nan")),
        ),
        min_size=1,
        max_size=50,
    )
)
def test_any_code_and_amount_score_the_same_in_onnx(
    model: Calibrated, onnx: OnnxModel, drawn: list[tuple[int, float]]
) -> None:
    rows = np.ones((len(drawn), WIDTH), dtype=np.float32)
    rows[:, [MCC, AMOUNT]] = drawn
    assert onnx.scores(rows) == pytest.approx(model.predict_proba(rows)[:, 1], abs=1e-5)


def test_all_codes_that_training_did_not_meet_score_alike_and_so_does_none(onnx: OnnxModel) -> None:
    rows = np.ones((6, WIDTH), dtype=np.float32)
    rows[:, MCC] = [-1, 1, 5410, 5412, 12_345, np.nan]
    assert len(set(onnx.scores(rows).tolist())) == 1


def test_features_without_a_category_have_no_rates() -> None:
    rows = np.random.default_rng(0).gamma(2, 20, (300, len(HANDBOOK.features))).astype(np.float32)
    model = build(spec("decision_tree"), HANDBOOK).fit(rows, (rows[:, 0] > 80).astype(np.int8))
    assert rates_of(model.estimator_) == {}
    assert raw_columns(model.estimator_) == list(range(len(HANDBOOK.features)))
    assert (prepared(model.estimator_, rows) == rows).all()
