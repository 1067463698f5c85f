"""The export gate: the ONNX model must say what the scikit-learn model says, above all where conversions go wrong.

Known to go wrong without a word: a threshold rounded to the wrong float32, missing values sent down the wrong branch,
native categories, a step (isotonic calibration) behind a sum, arithmetic of another precision before a split. Random
rows show few of these. So the two are compared on held-out and on training payments, and on payments with every code of
every category and some that training never met, on either side of every split of every tree, and with each feature
missing or extreme.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from threadpoolctl import threadpool_limits

from services.training.data.dataset import TrainingSet
from services.training.gates.fault import features_at_fault
from services.training.gates.probe import Probe, Rows, of_categories, spread, unchanged, with_extremes, with_missing
from services.training.gates.split_rows import on_splits
from services.training.refusal import RefusedError
from shared.models.session import OnnxModel

BOUND = 1e-5
"""Largest difference of two probabilities that is rounding: a hundred float32 sums stay below 1e-6."""
_WORST_ROWS = 8
_REPLACEMENTS = 16


def check_export(
    model: OnnxModel, reference: ClassifierMixin, data: TrainingSet, held_out: TrainingSet, *, bound: float = BOUND
) -> float:
    """Return the largest difference found between `model` and `reference`, which is within `bound`.

    Raises:
        RefusedError: beyond it, or a score that is not finite; the message names rows and feature.
    """
    worst = 0.0
    with threadpool_limits(1):  # beside services that score
        for probe in _probes(reference, data, held_out, bound):
            if not len(probe.rows):
                continue  # a model without a single split
            differences = _differences(model, reference, probe.rows)
            wrong = ~(differences <= bound)  # also where it is not a number
            if wrong.any():
                raise RefusedError(
                    "export_gate",
                    f"the ONNX model differs from the scikit-learn model by {differences.max():.2g} (bound {bound:g}) "
                    f"on {probe.what}, {wrong.sum()} of {len(wrong)}: {_blamed(model, reference, data, probe, bound)}; "
                    "it was not registered: leave the feature out, or train another family",
                )
            worst = max(worst, float(differences.max()))
    return worst


def _probes(reference: ClassifierMixin, data: TrainingSet, held_out: TrainingSet, bound: float) -> Iterator[Probe]:
    # Data first: where it agrees, a payment that disagrees after one change does so because of that change.
    categories = data.feature_set.categories
    yield unchanged("held-out payments", held_out.rows)
    yield unchanged("training payments", data.rows)
    yield from of_categories(data.rows, categories)
    yield on_splits(reference, data.rows, categories, bound=bound)
    if _takes_missing(reference, data.rows[:1]):
        yield with_missing(data.rows)
    yield with_extremes(data.rows)


def _takes_missing(reference: Any, rows: Rows) -> bool:
    try:
        reference.predict_proba(np.full_like(rows, np.nan))
    except ValueError:
        return False
    return True


def _differences(model: OnnxModel, reference: Any, rows: Rows) -> npt.NDArray[np.float64]:
    differences: npt.NDArray[np.float64] = np.abs(model.scores(rows) - reference.predict_proba(rows)[:, 1])
    return differences


def _blamed(model: OnnxModel, reference: Any, data: TrainingSet, probe: Probe, bound: float) -> str:
    """Return the feature at fault, as a phrase."""

    def agree(rows: Rows) -> npt.NDArray[np.bool_]:
        return _differences(model, reference, rows) <= bound

    differences = np.nan_to_num(_differences(model, reference, probe.rows), nan=np.inf)
    worst = np.argsort(-differences, kind="stable")[:_WORST_ROWS]
    worst = worst[differences[worst] > bound]
    names = data.feature_set.feature_names
    if probe.features is not None and agree(probe.payments[worst[:1]]).all():
        return f"feature {names[probe.features[worst[0]]]}"
    replacements = spread(data.rows, _REPLACEMENTS)
    if _takes_missing(reference, replacements[:1]):
        # A category that is read wrongly, whatever its code, may still be read rightly where it is missing.
        replacements = np.concatenate([replacements, np.full_like(replacements[:1], np.nan)])
    found = features_at_fault(agree, probe.rows[worst], replacements, data.rows, data.feature_set.categories)
    if len(found) > 1:
        return f"one of the features {', '.join(names[feature] for feature in found)}"
    return f"feature {names[found[0]]}" if len(found) else "no single feature can be named"
