"""Scores are probabilities, whatever part of the genuine payments a model was trained on."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit, logit

from services.training.estimators.calibrated import calibration_of, undersampled
from services.training.estimators.families import fit
from tests.unit.training.estimators.scene import payments, spec


@pytest.mark.parametrize("genuine_fraction", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("family", ["logistic_l2", "random_forest", "gradient_boosting"])
def test_scores_average_to_the_rate_of_fraud_after_undersampling(family: str, genuine_fraction: float) -> None:
    model = fit(spec(family, genuine_fraction=genuine_fraction), payments(3_000))
    later = payments(3_000, seed=1)
    assert model.predict_proba(later.rows)[:, 1].mean() == pytest.approx(later.frauds.mean(), rel=0.25)


def test_undersampling_takes_every_fraud_and_that_part_of_the_others() -> None:
    labels = np.array([1] * 10 + [0] * 200 + [-1] * 40, dtype=np.int8)
    taken = undersampled(labels, 0.25, seed=0)
    assert [int(taken[labels == label].sum()) for label in (1, 0, -1)] == [10, 50, 10]
    assert (taken == undersampled(labels, 0.25, seed=0)).all()
    assert (taken != undersampled(labels, 0.25, seed=1)).any()


def drawn(slope: float, intercept: float, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
    """Return scores, and frauds drawn from what they would be calibrated."""
    rng = np.random.default_rng(0)
    scores = expit(rng.normal(-2, 2, count))
    return scores, (rng.random(count) < expit(slope * logit(scores) + intercept)).astype(np.int8)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.4, -1.0), (2.5, 1.5)])
def test_the_calibration_that_made_the_labels_is_found_again(slope: float, intercept: float) -> None:
    found = calibration_of(*drawn(slope, intercept, 20_000))
    assert found == pytest.approx((slope, intercept), rel=0.1, abs=0.1)


def test_a_calibrated_model_says_the_rate_of_fraud_although_classes_were_weighted() -> None:
    model = fit(spec("logistic_l2", class_weight="balanced"), payments(3_000))
    held_out, later = payments(3_000, seed=1), payments(3_000, seed=2)
    assert model.predict_proba(later.rows)[:, 1].mean() > 2 * later.frauds.mean()
    line = calibration_of(model.predict_proba(held_out.rows)[:, 1], held_out.frauds)
    model.set_params(slope=line.slope, intercept=line.intercept)
    assert model.predict_proba(later.rows)[:, 1].mean() == pytest.approx(later.frauds.mean(), rel=0.2)


def test_scores_never_change_places_even_where_frauds_have_the_lowest() -> None:
    scores, frauds = drawn(1.0, 0.0, 500)
    assert calibration_of(1 - scores, frauds).slope > 0


def test_few_frauds_leave_the_slope_near_one() -> None:
    scores, frauds = drawn(1.0, 0.0, 200)
    frauds[:] = 0
    frauds[np.argsort(scores)[-3:]] = 1
    assert 0.3 < calibration_of(scores, frauds).slope < 3


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_a_line_that_moves_every_score_towards_it(label: int) -> None:
    scores, frauds = drawn(1.0, 0.0, 200)
    frauds[:] = label
    slope, intercept = calibration_of(scores, frauds)
    moved = expit(slope * logit(scores) + intercept)
    assert abs(moved - label).mean() < abs(scores - label).mean()
    assert np.isfinite(moved).all()


def test_scores_of_zero_and_one_do_not_spoil_a_calibration() -> None:
    scores, frauds = drawn(1.0, 0.0, 2_000)
    found = calibration_of(np.concatenate([scores, [0.0, 1.0]]), np.concatenate([frauds, [0, 1]]).astype(np.int8))
    assert found == pytest.approx((1, 0), abs=0.3)
