"""Categories become rates of fraud: by hand, in scikit-learn and in ONNX alike, seen or not."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from services.training.encoding import SMOOTHING_PAYMENTS, encoded, rates_of, raw_columns, with_encoding
from services.training.export import export

CODES = np.array([0, 82, 5411, 9999])
CODE, AMOUNT = 1, 2
RISKY = 5411


def rows_and_frauds(seed: int = 0, count: int = 2_000) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    rng = np.random.default_rng(seed)
    rows = rng.gamma(2.0, 20.0, (count, 4)).astype(np.float32)
    rows[:, CODE] = rng.choice(CODES, count)
    frauds = rng.random(count) < np.where(rows[:, CODE] == RISKY, 0.4, 0.05)
    return rows, frauds.astype(np.int8)


def fitted(categories: list[int]) -> Pipeline:
    forest = RandomForestClassifier(n_estimators=10, random_state=0)
    return with_encoding(forest, categories).fit(*rows_and_frauds())


@pytest.fixture(scope="module")
def model() -> Pipeline:
    return fitted([CODE])


@pytest.fixture(scope="module")
def session(model: Pipeline) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(export(model), providers=["CPUExecutionProvider"])


def onnx_scores(session: onnxruntime.InferenceSession, rows: npt.NDArray[np.float32]) -> Any:
    return session.run(None, {session.get_inputs()[0].name: rows})[1][:, 1]


def test_a_category_is_its_fraud_rate_drawn_to_the_overall_one(model: Pipeline) -> None:
    rows, frauds = rows_and_frauds()
    known = rates_of(model)[CODE]
    assert known.codes.tolist() == CODES.tolist()
    assert known.unseen == pytest.approx(frauds.mean())
    of_code = [frauds[rows[:, CODE] == code] for code in CODES]
    assert known.rates == pytest.approx(
        [(own.sum() + SMOOTHING_PAYMENTS * frauds.mean()) / (len(own) + SMOOTHING_PAYMENTS) for own in of_code]
    )


def test_the_forest_sees_the_rate_and_every_other_feature_as_it_is(model: Pipeline) -> None:
    rows, _ = rows_and_frauds()
    seen, columns = encoded(model, rows), raw_columns(model)
    assert sorted(columns) == [0, 1, 2, 3]
    known = rates_of(model)[CODE]
    for at, column in enumerate(columns):
        wanted = known.rates[np.searchsorted(known.codes, rows[:, CODE])] if column == CODE else rows[:, column]
        assert seen[:, at] == pytest.approx(wanted)


def test_a_payment_in_a_category_of_its_own_is_not_grown_on_its_own_label() -> None:
    rows, frauds = rows_and_frauds()
    rows[:, CODE] = np.arange(len(rows))
    forest = RandomForestClassifier(n_estimators=10, max_features=None, random_state=0)
    importances = with_encoding(forest, [CODE]).fit(rows, frauds).named_steps["forest"].feature_importances_
    assert importances[0] < 0.1, "a rate that held the label would explain everything"


@given(
    st.lists(
        st.tuples(st.one_of(st.sampled_from(CODES.tolist()), st.integers(-1, 20_000)), st.floats(0, 1e6, width=32)),
        min_size=1,
        max_size=50,
    )
)
def test_any_code_scores_the_same_in_onnx(
    model: Pipeline, session: onnxruntime.InferenceSession, drawn: list[tuple[int, float]]
) -> None:
    rows = np.ones((len(drawn), 4), dtype=np.float32)
    rows[:, [CODE, AMOUNT]] = drawn
    assert onnx_scores(session, rows) == pytest.approx(model.predict_proba(rows)[:, 1], abs=1e-5)


def test_all_codes_that_training_did_not_meet_score_alike(session: onnxruntime.InferenceSession) -> None:
    rows = np.ones((5, 4), dtype=np.float32)
    rows[:, CODE] = [-1, 1, 5410, 5412, 12_345]
    assert len(set(onnx_scores(session, rows).tolist())) == 1


def test_without_categories_the_forest_stands_alone() -> None:
    model = fitted([])
    rows, _ = rows_and_frauds()
    assert rates_of(model) == {}
    assert raw_columns(model).tolist() == [0, 1, 2, 3]
    assert (encoded(model, rows) == rows).all()
    content = export(model)
    assert [node.op_type for node in onnx.load_from_string(content).graph.node] == ["TreeEnsembleClassifier"]
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert onnx_scores(session, rows) == pytest.approx(model.predict_proba(rows)[:, 1], abs=1e-5)
