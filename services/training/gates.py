"""The export gate: the ONNX model must say what the scikit-learn model says, above all where conversions go wrong.

Rows of data show little of a tree's splits, so the gate also builds rows for them: for each split, a payment that
reaches it, with the feature exactly on the threshold and one float32 to either side. A threshold rounded the wrong way,
or any other split or leaf that was changed, shows there. On a split over the rate of a category, the payment gets the
category whose rate is next below the threshold, the one next above, and one never seen. Payments are also given every
category that training met, and some that it did not.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from services.training.dataset import TrainingSet
from services.training.encoding import Rates, Rows, encoded, forest_of, rates_of, raw_columns
from services.training.refusal import RefusedError
from shared.models.session import OnnxModel

BOUND = 1e-5
"""Largest difference of two probabilities that is rounding: a hundred float32 sums stay below 1e-6."""
SPLITS_MAX = 10_000
"""More splits than this are sampled evenly: a split costs three rows."""
DATA_ROWS_MAX = 20_000
CATEGORY_ROWS_MAX = 20
"""Payments that are given one category after the other."""
_EXTREMES = (0.0, -1.0, 1e-38, -1e30, 1e30, 1.7e9)
"""Zero, a negative, nearly zero, far beyond any feature, and an epoch in seconds, which has broken exports before."""

Number = TypeVar("Number", bound=np.number[Any])


class Probe(NamedTuple):
    """Rows to compare the two models on.

    features: shape (n,), the feature that each row is about; None for rows of data.
    """

    what: str
    rows: Rows
    features: npt.NDArray[np.intp] | None


def check_export(model: OnnxModel, reference: Pipeline, data: TrainingSet, held_out: TrainingSet) -> float:
    """Return the largest difference found between `model` and `reference`, which is within the bound.

    Raises:
        RefusedError: beyond it; the message names the feature where the rows tell.
    """
    worst = 0.0
    for probe in _probes(reference, data.rows, held_out.rows):
        if not len(probe.rows):
            continue  # a forest without a single split, features without a category
        differences = np.abs(model.scores(probe.rows) - reference.predict_proba(probe.rows)[:, 1])
        at = int(np.argmax(differences))
        difference = float(differences[at])
        if not difference <= BOUND:  # also when it is not a number
            name = None if probe.features is None else data.feature_set.feature_names[probe.features[at]]
            blamed = f"feature {name}" if name else "no single feature can be named"
            raise RefusedError(
                "export_gate",
                f"the ONNX model differs from the scikit-learn model by {difference:.2g} (bound {BOUND:g}) "
                f"on {probe.what}: {blamed}; it was not registered",
            )
        worst = max(worst, difference)
    return worst


def _probes(reference: Pipeline, training: Rows, held_out: Rows) -> Iterator[Probe]:
    # First, since a changed rate shows on rows about any other feature too.
    yield _of_categories(rates_of(reference), training)
    yield _on_splits(reference, _spread(training, DATA_ROWS_MAX))
    yield _extremes(_spread(training, 5))
    yield Probe("held-out payments", _spread(held_out, DATA_ROWS_MAX), None)
    yield Probe("training payments", _spread(training, DATA_ROWS_MAX), None)


def _on_splits(reference: Pipeline, rows: Rows) -> Probe:
    """Return three rows for each split that some payment reaches."""
    seen = encoded(reference, rows)
    found = [_witnessed_splits(estimator.tree_, seen) for estimator in forest_of(reference).estimators_]
    witnesses = _spread(np.concatenate([splits.witnesses for splits in found]), SPLITS_MAX)
    columns = _spread(np.concatenate([splits.features for splits in found]), SPLITS_MAX)
    thresholds = _spread(np.concatenate([splits.thresholds for splits in found]), SPLITS_MAX)
    features = raw_columns(reference)[columns]
    probes = []
    for values in _around(thresholds, features, rates_of(reference)):
        probe = rows[witnesses]
        probe[np.arange(len(probe)), features] = values
        probes.append(probe)
    return Probe("rows placed on split thresholds", np.concatenate(probes), np.tile(features, 3))


def _around(
    thresholds: npt.NDArray[np.float64], features: npt.NDArray[np.intp], categories: dict[int, Rates]
) -> npt.NDArray[np.float32]:
    """Return three raw values for each threshold: shape (3, thresholds)."""
    on = thresholds.astype(np.float32)
    limit = np.float32(np.inf)
    values = np.stack([on, np.nextafter(on, -limit), np.nextafter(on, limit)])
    for feature, known in categories.items():
        at = features == feature
        by_rate = np.argsort(known.rates, kind="stable")
        above = np.searchsorted(known.rates[by_rate], thresholds[at], side="right")
        last = len(by_rate) - 1
        values[0, at] = known.codes[by_rate[np.clip(above - 1, 0, last)]]
        values[1, at] = known.codes[by_rate[np.clip(above, 0, last)]]
        values[2, at] = _unseen(known)[0]
    return values


def _of_categories(categories: dict[int, Rates], rows: Rows) -> Probe:
    """Return some payments with every category that training met, and some that it did not."""
    probes, features = [rows[:0]], [np.empty(0, dtype=np.intp)]
    for feature, known in categories.items():
        codes = np.concatenate([known.codes, _unseen(known)])
        some = _spread(rows, max(1, min(CATEGORY_ROWS_MAX, DATA_ROWS_MAX // len(codes))))
        probe = np.repeat(some, len(codes), axis=0)
        probe[:, feature] = np.tile(codes, len(some))
        probes.append(probe)
        features.append(np.full(len(probe), feature))
    return Probe("rows of each category", np.concatenate(probes), np.concatenate(features))


def _unseen(known: Rates) -> npt.NDArray[np.float64]:
    """Return the codes beside known ones that training did not meet, the one after the last first."""
    beside = np.concatenate([known.codes[::-1] + 1, known.codes - 1])
    return beside[~np.isin(beside, known.codes)]


class _Splits(NamedTuple):
    """Of each split of a tree: a row that reaches it, its feature, its threshold."""

    witnesses: npt.NDArray[np.intp]
    features: npt.NDArray[np.intp]
    thresholds: npt.NDArray[np.float64]


def _witnessed_splits(tree: Any, rows: Rows) -> _Splits:
    """Return the splits of a scikit-learn tree that some of `rows` reach."""
    left, right = tree.children_left, tree.children_right
    witness = np.full(len(left), -1)
    witness[tree.apply(rows)] = np.arange(len(rows))
    # A child always stands behind its parent, so one pass from the end carries rows up to the root.
    for node in range(len(left) - 1, -1, -1):
        if left[node] >= 0:
            witness[node] = max(witness[left[node]], witness[right[node]])
    splits = np.flatnonzero((left >= 0) & (witness >= 0))
    return _Splits(witness[splits], tree.feature[splits], tree.threshold[splits])


def _extremes(rows: Rows) -> Probe:
    """Return some payments with one feature at a time at an extreme value."""
    width = rows.shape[1]
    values = np.array(_EXTREMES, dtype=np.float32)
    probes = np.repeat(rows, width * len(values), axis=0)
    features = np.tile(np.repeat(np.arange(width), len(values)), len(rows))
    probes[np.arange(len(probes)), features] = np.tile(values, len(rows) * width)
    return Probe("rows with an extreme value", probes, features)


def _spread(values: npt.NDArray[Number], count_max: int) -> npt.NDArray[Number]:
    """Return at most `count_max` of `values`, evenly spread."""
    if len(values) <= count_max:
        return values
    return values[np.linspace(0, len(values) - 1, count_max).astype(np.intp)]
