"""What the forest is given of a vector: a category as its rate of fraud, every other feature as it is.

A category's code says which one it is, not how much of anything: two neighbouring codes have nothing in common, and a
split between them means nothing. So each is replaced by the share of fraud among the training payments of that
category, drawn towards the share among all where they are few (Micci-Barreca, "A Preprocessing Scheme for
High-Cardinality Categorical Attributes", 2001). A payment that the forest is grown on gets the rate that the other
payments show (five folds), never one that its own label has a part in. A category never seen gets the share among all.

One column a category, however many there are of it: a column each (one-hot) would crowd out the other features, of
which a split looks at a few. And skl2onnx converts it exactly. Of its neighbours, a bounded one-hot fails to convert or
to run on a category never seen, and a bounded ordinal encoding converts and is silently wrong.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import TargetEncoder

RANDOM_STATE = 0
"""The same payments give the same model, bit for bit."""
SMOOTHING_PAYMENTS = 50.0
"""A category's rate counts as many payments of the overall rate beside its own."""
_FOLDS = 5
_ENCODING, _FOREST, _RATES = "encoding", "forest", "rates"

Rows = npt.NDArray[np.float32]


class Rates(NamedTuple):
    """What the forest sees in the place of a category.

    codes: shape (k,), ascending: those that training met. rates: shape (k,), the share of fraud of each, smoothed.
    unseen: what any other code is given: the share of fraud among all payments.
    """

    codes: npt.NDArray[np.float64]
    rates: npt.NDArray[np.float64]
    unseen: float


def with_encoding(forest: RandomForestClassifier, categories: Sequence[int]) -> Pipeline:
    """Return an unfitted model of raw rows: `forest`, behind the encoding of the columns `categories`."""
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=RANDOM_STATE)
    rates = TargetEncoder(target_type="binary", smooth=SMOOTHING_PAYMENTS, cv=folds)
    encoding = ColumnTransformer([(_RATES, rates, list(categories))], remainder="passthrough")
    return Pipeline([(_ENCODING, encoding), (_FOREST, forest)] if categories else [(_FOREST, forest)])


def forest_of(model: Pipeline) -> RandomForestClassifier:
    """Return the forest, whose columns are those of `encoded`."""
    forest: RandomForestClassifier = model.named_steps[_FOREST]
    return forest


def encoded(model: Pipeline, rows: Rows) -> Rows:
    """Return raw rows as the fitted model's forest sees them."""
    encoding = model.named_steps.get(_ENCODING)
    return rows if encoding is None else encoding.transform(rows).astype(np.float32)


def raw_columns(model: Pipeline) -> npt.NDArray[np.intp]:
    """Return for each of the forest's columns the raw one that it is made of."""
    categories = _categories(model)
    others = np.setdiff1d(np.arange(model.n_features_in_), categories)
    return np.concatenate([np.array(categories, dtype=np.intp), others])


def rates_of(model: Pipeline) -> dict[int, Rates]:
    """Return the fitted encoding of each category, by its raw column."""
    if _ENCODING not in model.named_steps:
        return {}
    fitted: Any = model.named_steps[_ENCODING].named_transformers_[_RATES]
    return {
        column: Rates(codes.astype(np.float64), rates, float(fitted.target_mean_))
        for column, codes, rates in zip(_categories(model), fitted.categories_, fitted.encodings_, strict=True)
    }


def _categories(model: Pipeline) -> list[int]:
    encoding = model.named_steps.get(_ENCODING)
    return [] if encoding is None else list(encoding.transformers[0][2])
