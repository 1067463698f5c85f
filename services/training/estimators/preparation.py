"""What an estimator is given of a raw row: no gaps, and a category as its rate of fraud.

A category's code says which one it is, not how much of anything: two neighbouring codes have nothing in common, and a
split between them means nothing. So each is replaced by the share of fraud among the training payments of that
category, drawn towards the share among all where they are few (Micci-Barreca, "A Preprocessing Scheme for
High-Cardinality Categorical Attributes", 2001). A payment that an estimator is trained on gets the rate that the other
payments show (five folds), never one that its own label has a part in. A category never seen, or missing, gets the
share among all. One column a category, however many there are of it: a column each (one-hot) would crowd out the other
features, of which a split looks at a few.

A missing number becomes its feature's median. Everything stays float32, in scikit-learn as in ONNX, so that both
compare the same number with the same threshold.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.validation import validate_data

SMOOTHING_PAYMENTS = 50.0
"""A category's rate counts as many payments of the overall rate beside its own."""
LIMIT = 10.0
"""Standard deviations beyond which a scaled value is cut off: as far as a weight can carry a single feature."""
PREPARATION, RATES, CLASSIFIER = "preparation", "rates", "classifier"
_NUMBERS = "numbers"
_FOLDS = 5
_SCALE_MIN = 1e-9

Rows = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class Rates(NamedTuple):
    """What an estimator sees in the place of a category.

    codes: shape (k,), ascending: those that training met. rates: shape (k,), the share of fraud of each, smoothed.
    unseen: what any other code is given: the share of fraud among all payments.
    """

    codes: npt.NDArray[np.float64]
    rates: npt.NDArray[np.float64]
    unseen: float


class FraudRates(TargetEncoder):  # type: ignore[misc]
    """A target encoder that answers in float32, and takes a missing category for one it has not seen."""

    def fit(self, rows: Rows, frauds: npt.NDArray[Any]) -> Self:
        super().fit(rows, frauds)
        self._forget_missing()
        return self

    def fit_transform(self, rows: Rows, frauds: npt.NDArray[Any]) -> Rows:
        crossed = super().fit_transform(rows, frauds)
        self._forget_missing()
        rates: Rows = np.where(np.isnan(rows), self.target_mean_, crossed).astype(np.float32)
        return rates

    def transform(self, rows: Rows) -> Rows:
        rates: Rows = super().transform(rows).astype(np.float32)
        return rates

    def _forget_missing(self) -> None:
        for at, codes in enumerate(self.categories_):
            known = ~np.isnan(codes)
            # A category that is always missing keeps a code, which means as much as none.
            self.categories_[at] = codes[known] if known.any() else np.zeros(1, codes.dtype)
            self.encodings_[at] = self.encodings_[at][known] if known.any() else np.array([self.target_mean_])


class Scaling(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Brings columns to one scale: signed logarithm, standardised, cut off at LIMIT.

    In float64, also in ONNX: what a logarithm loses in float32 grows when it is divided by a small deviation.
    """

    def fit(self, matrix: Matrix, frauds: object = None) -> Self:  # noqa: ARG002
        compressed = _compressed(validate_data(self, matrix))
        self.mean_ = compressed.mean(axis=0)
        deviation = compressed.std(axis=0)
        self.scale_ = np.where(deviation < _SCALE_MIN, 1.0, deviation)
        return self

    def transform(self, matrix: Matrix) -> npt.NDArray[np.float64]:
        compressed = _compressed(validate_data(self, matrix, reset=False))
        compressed -= self.mean_
        compressed /= self.scale_
        return np.clip(compressed, -LIMIT, LIMIT, out=compressed)


def _compressed(matrix: Matrix) -> npt.NDArray[np.float64]:
    exact = matrix.astype(np.float64)
    compressed: npt.NDArray[np.float64] = np.sign(exact) * np.log(np.abs(exact) + 1)
    return compressed


def preparation(categories: Sequence[int], width: int, seed: int) -> ColumnTransformer:
    """Return the unfitted first step of a pipeline: the rates of `categories`, then the other columns without gaps."""
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    rates = FraudRates(target_type="binary", smooth=SMOOTHING_PAYMENTS, cv=folds)
    steps = [(RATES, rates, list(categories)), *_numbers(categories, width)]
    return ColumnTransformer([step for step in steps if step[2]])


def numbers_only(categories: Sequence[int], width: int) -> ColumnTransformer:
    """Return the unfitted first step of an estimator that knows no labels: columns without gaps, no categories."""
    return ColumnTransformer(_numbers(categories, width))


def _numbers(categories: Sequence[int], width: int) -> list[tuple[str, SimpleImputer, list[int]]]:
    columns = [column for column in range(width) if column not in set(categories)]
    return [(_NUMBERS, SimpleImputer(strategy="median", keep_empty_features=True), columns)]


def prepared(pipeline: Pipeline, rows: Rows) -> Matrix:
    """Return raw rows as the fitted pipeline's classifier sees them."""
    matrix: Matrix = pipeline[:-1].transform(rows)
    return matrix


def rates_of(pipeline: Pipeline) -> dict[int, Rates]:
    """Return the fitted rates of each category, by its raw column."""
    fitted = pipeline.named_steps[PREPARATION]
    if RATES not in fitted.named_transformers_:
        return {}
    encoder: Any = fitted.named_transformers_[RATES]
    (columns,) = (columns for name, _, columns in fitted.transformers_ if name == RATES)
    return {
        column: Rates(codes.astype(np.float64), rates, float(encoder.target_mean_))
        for column, codes, rates in zip(columns, encoder.categories_, encoder.encodings_, strict=True)
    }
