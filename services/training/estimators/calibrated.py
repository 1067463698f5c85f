"""A classifier whose answers are probabilities, although it was trained on a part of the genuine payments only.

Undersampling genuine payments shifts every probability; since it is known by how much, it is undone on the log odds
(Dal Pozzolo, Caelen, Johnson, Bontempi, "Calibrating Probability with Undersampling for Unbalanced Classification",
2015). What is left to correct, a class weight for example, is a straight line on the log odds, fitted on payments that
the classifier was not trained on (Platt, "Probabilistic Outputs for Support Vector Machines", 1999).
"""

import warnings
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.semi_supervised import SelfTrainingClassifier

from services.training.estimators.preparation import Matrix, Rows

UNLABELLED = -1
PROBABILITY_MIN = 1e-7
PROBABILITY_MAX = 1 - 1e-5
"""Between these a probability in float32 still tells its log odds; a float32 next to 1 tells little of the distance."""
_SLOPE_DEVIATION = 1.0
"""Standard deviation of the logarithm of the slope that is expected beforehand: few frauds leave it near 1."""


class Calibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`estimator` with calibrated answers: sigmoid(slope * (logit(p) + log(genuine_fraction)) + intercept).

    genuine_fraction: of the genuine payments, what part `estimator` is trained on; of the frauds, all are taken.
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        genuine_fraction: float = 1.0,
        slope: float = 1.0,
        intercept: float = 0.0,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.genuine_fraction = genuine_fraction
        self.slope = slope
        self.intercept = intercept
        self.random_state = random_state

    def fit(self, rows: Rows, frauds: npt.NDArray[np.int8]) -> Self:
        """Train on raw rows; frauds: 1 for fraud, 0 for genuine, UNLABELLED where an estimator takes such."""
        if self.genuine_fraction < 1:
            taken = undersampled(frauds, self.genuine_fraction, self.random_state)
            rows, frauds = rows[taken], frauds[taken]
        fitted = fitted_quietly(clone(self.estimator), rows, frauds)
        self.estimator_ = fitted.estimator_ if isinstance(fitted, SelfTrainingClassifier) else fitted
        self.classes_ = np.array([0, 1])
        self.n_features_in_ = rows.shape[1]
        return self

    def predict_proba(self, rows: Rows) -> npt.NDArray[np.float64]:
        """Return the probabilities of genuine and of fraud of each row: shape (n, 2)."""
        scores = self.estimator_.predict_proba(rows)[:, 1].astype(np.float64)
        slope, offset = self.line
        frauds = expit(slope * logit(np.clip(scores, PROBABILITY_MIN, PROBABILITY_MAX)) + offset)
        return np.column_stack([1 - frauds, frauds])

    def predict(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Return 1 for each row that is more probably fraud than not, otherwise 0."""
        return (self.predict_proba(rows)[:, 1] > 0.5).astype(np.int64)

    @property
    def line(self) -> tuple[float, float]:
        """Slope and offset that turn the estimator's log odds into calibrated ones."""
        return self.slope, self.slope * float(np.log(self.genuine_fraction)) + self.intercept


def fitted_quietly(estimator: Any, rows: Matrix, frauds: npt.NDArray[np.int8]) -> Any:
    """Return `estimator`, trained; how long to go on is a parameter like any other, so it is no news when that ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(rows, frauds)


def undersampled(frauds: npt.NDArray[np.int8], genuine_fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return which payments are taken: all frauds, and that part of the genuine and of the unlabelled ones."""
    taken = np.ones(len(frauds), dtype=np.bool_)
    rng = np.random.default_rng(seed)
    for label in (0, UNLABELLED):
        of_label = np.flatnonzero(frauds == label)
        kept = max(1, round(genuine_fraction * len(of_label)))
        taken[rng.permutation(of_label)[kept:]] = False
    return taken


class Calibration(NamedTuple):
    """A straight line on the log odds; slope > 0, so that no two payments change places."""

    slope: float
    intercept: float


def calibration_of(scores: npt.NDArray[np.floating[Any]], frauds: npt.NDArray[np.int8]) -> Calibration:
    """Return the line that calibrates `scores`, for a Calibrated of slope 1 and intercept 0 that gave them.

    scores: shape (n,), of payments that it was not trained on. frauds: shape (n,). Targets are Platt's, which keep away
    from 0 and 1; with few frauds the slope stays near 1, with none the line only lowers the scores.
    """
    log_odds = logit(np.clip(scores.astype(np.float64), PROBABILITY_MIN, PROBABILITY_MAX))
    positives = int(frauds.sum())
    targets = np.where(frauds == 1, (positives + 1) / (positives + 2), 1 / (len(frauds) - positives + 2))

    def loss(line: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        slope, intercept = np.exp(line[0]), line[1]
        calibrated = slope * log_odds + intercept
        error = expit(calibrated) - targets
        value = np.logaddexp(0, calibrated).sum() - targets @ calibrated + (line[0] / _SLOPE_DEVIATION) ** 2 / 2
        return value, np.array([slope * (error @ log_odds) + line[0] / _SLOPE_DEVIATION**2, error.sum()])

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-4.0, 4.0), (-30.0, 30.0)])
    return Calibration(float(np.exp(found.x[0])), float(found.x[1]))
