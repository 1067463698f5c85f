"""Strange payments are told without labels, and to the last bit alike in ONNX."""

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from scipy.stats import spearmanr
from skl2onnx import to_onnx
from sklearn.ensemble import IsolationForest

from services.training.estimators.anomaly import IsolationDepth, SegmentDistance
from services.training.estimators.export import OPSETS
from services.training.estimators.families import fit
from tests.unit.training.estimators.scene import AMOUNT, COUNT, MEAN, payments, spec, training_set

WITHOUT_LABELS = ["isolation_forest", "segment_distance"]


def matrix(seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).gamma(2.0, 20.0, (3_000, 6)).astype(np.float32)


@pytest.mark.parametrize("measure", [IsolationDepth(), SegmentDistance()])
def test_a_measure_is_the_same_number_in_onnx(measure: IsolationDepth | SegmentDistance) -> None:
    """A tree that splits on it goes the same way only if it is."""
    measure.fit(matrix())
    graph = to_onnx(measure, matrix()[:1], target_opset=OPSETS).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rows = np.concatenate([matrix(1), -matrix(2), 1e30 * matrix(3)])
    (served,) = session.run(None, {session.get_inputs()[0].name: rows})
    assert (served == measure.transform(rows)).all()
    assert (served[:, :-1] == rows).all()
    assert len(np.unique(served[:, -1])) > 100


def test_isolation_ranks_payments_as_scikit_learn_does() -> None:
    fitted = IsolationForest(n_estimators=50, max_samples=256, random_state=0).fit(matrix())
    depths = IsolationDepth(trees=50, sample=256, random_state=0).fit(matrix()).transform(matrix(1))[:, -1]
    assert spearmanr(depths, -fitted.score_samples(matrix(1))).statistic > 0.999


def test_a_distance_is_that_to_the_nearest_centre() -> None:
    fitted = SegmentDistance(segments=3).fit(matrix())
    scaled = np.rint(fitted.scaling_.transform(matrix(1)) * 16) / 16
    apart = np.linalg.norm(scaled[:, np.newaxis] - fitted.centres_ / 16, axis=2)
    assert fitted.transform(matrix(1))[:, -1] == pytest.approx(apart.min(axis=1), rel=1e-6)


@pytest.mark.parametrize("family", WITHOUT_LABELS)
def test_labels_make_no_difference_nor_does_having_none(family: str) -> None:
    data = payments()
    without = fit(spec(family), training_set(data.rows, np.zeros_like(data.frauds)))
    assert (without.predict_proba(data.rows) == fit(spec(family), data).predict_proba(data.rows)).all()


@pytest.mark.parametrize("family", WITHOUT_LABELS)
def test_payments_unlike_all_others_have_the_highest_scores(family: str) -> None:
    model = fit(spec(family), payments())
    usual = payments(500, seed=1).rows
    strange = payments(20, seed=2).rows
    strange[:, [AMOUNT, MEAN, COUNT]] = [2_000, 1_500, 60]
    assert model.predict_proba(strange)[:, 1].min() > np.quantile(model.predict_proba(usual)[:, 1], 0.98)


@pytest.mark.parametrize("family", WITHOUT_LABELS)
def test_a_score_is_low_for_the_usual_and_above_a_half_for_one_in_a_hundred(family: str) -> None:
    scores = fit(spec(family), payments()).predict_proba(payments(seed=1).rows)[:, 1]
    assert np.median(scores) == pytest.approx(0.01, abs=0.01)
    assert (scores > 0.5).mean() == pytest.approx(0.01, abs=0.01)
