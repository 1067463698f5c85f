"""What a model has learnt, carried over: to newer payments, or to one segment of them.

The preparation stays as it was fitted, so that a category's rate and a scaled value keep the meaning that the
classifier behind them has learnt. Once categories have changed much, only training anew helps.
"""

import copy
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from services.training.data.dataset import TrainingSet
from services.training.estimators.boosting import Boosting
from services.training.estimators.calibrated import Calibrated, fitted_quietly, undersampled
from services.training.estimators.preparation import Rows, prepared
from services.training.refusal import RefusedError

TREES_RENEWED = 0.5
"""Share of a forest, its oldest trees, that gives way to trees grown on the new payments."""
MORE_ITERATIONS = 50
"""Boosted trees that are added."""
LEARNING_RATE_SHARE = 0.5
"""New boosted trees learn at this share of the rate: they correct a model that is nearly right."""
EPOCHS = 20
"""Passes over the new payments that a network is given."""


class SegmentSpecialist(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Two fitted models: `specialist` for raw rows where column `feature` is `code`, `base` for all others."""

    def __init__(self, base: Calibrated, specialist: Calibrated, *, feature: int, code: int) -> None:
        self.base = base
        self.specialist = specialist
        self.feature = feature
        self.code = code

    @property
    def classes_(self) -> npt.NDArray[np.int64]:
        """Genuine, fraud: 0, 1."""
        classes: npt.NDArray[np.int64] = self.base.classes_
        return classes

    def predict_proba(self, rows: Rows) -> npt.NDArray[np.float64]:
        """Return the probabilities of genuine and of fraud of each row: shape (n, 2)."""
        is_special = rows[:, self.feature] == self.code
        probabilities = self.base.predict_proba(rows)
        if is_special.any():
            probabilities[is_special] = self.specialist.predict_proba(rows[is_special])
        return probabilities

    def predict(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Return 1 for each row that is more probably fraud than not, otherwise 0."""
        return (self.predict_proba(rows)[:, 1] > 0.5).astype(np.int64)


def specialised(
    base: Calibrated, data: TrainingSet, *, feature: int, code: int, jobs: int = 1, seed: int = 0
) -> SegmentSpecialist:
    """Return `base` with a specialist beside it that was carried on with the payments of one segment.

    feature, code: the column of a category, and which of its codes makes the segment.

    Raises:
        RefusedError: the segment holds only one class, or the family cannot be carried on.
    """
    segment = data.part(data.rows[:, feature] == code)
    return SegmentSpecialist(base, continued(base, segment, jobs=jobs, seed=seed), feature=feature, code=code)


def continued(model: Calibrated, data: TrainingSet, *, jobs: int = 1, seed: int = 0) -> Calibrated:
    """Return a copy of a fitted model that has learnt from `data` too; the model itself stays as it is.

    A logistic regression and a network go on from their weights. A forest keeps its newer trees, and gets new ones in
    the place of the oldest. Boosting gets more trees, so the model grows.

    Raises:
        RefusedError: `data` holds only one class, or the family cannot be carried on.
    """
    if not 0 < data.frauds.sum() < len(data.frauds):
        raise RefusedError(
            "one_class",
            f"of {len(data.frauds)} payments to go on with {int(data.frauds.sum())} are frauds, both classes are "
            "needed; wait for more labels, or choose a larger segment",
        )
    classifier = model.estimator_[-1] if isinstance(model.estimator_, Pipeline) else model.estimator_
    going_on = _going_on(classifier, seed)
    if going_on is None:
        raise RefusedError(
            "not_continuable",
            f"a {type(classifier).__name__} cannot be carried on with new payments; train it anew, or choose a "
            "logistic regression, a network, a forest or gradient boosting",
        )
    taken = undersampled(data.frauds, model.genuine_fraction, seed)
    pipeline = Pipeline([*copy.deepcopy(model.estimator_.steps[:-1]), (model.estimator_.steps[-1][0], going_on)])
    with threadpool_limits(jobs):
        fitted_quietly(going_on, prepared(pipeline, data.rows[taken]), data.frauds[taken])
    result = copy.copy(model)
    result.estimator_ = pipeline
    return result


def _going_on(classifier: Any, seed: int) -> Any:
    """Return a copy of a fitted classifier whose `fit` goes on from where it is; None where there is no such way."""
    going_on = copy.deepcopy(classifier)
    match classifier:
        case LogisticRegression():
            return going_on.set_params(warm_start=True)
        case MLPClassifier():
            going_on.best_loss_ = np.inf  # that of the earlier payments says nothing of when to stop now
            return going_on.set_params(warm_start=True, max_iter=EPOCHS, random_state=seed)
        case RandomForestClassifier() | ExtraTreesClassifier():
            del going_on.estimators_[: math.ceil(TREES_RENEWED * len(going_on.estimators_))]
            return going_on.set_params(warm_start=True, random_state=seed)
        case Boosting():
            return going_on.set_params(
                warm_start=True,
                max_iter=going_on.n_iter_ + MORE_ITERATIONS,
                learning_rate=going_on.learning_rate * LEARNING_RATE_SHARE,
                random_state=seed,
            )
    return None
