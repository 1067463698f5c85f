"""The export gate of a recalibration: the new graph ranks as the old one does, and scores on the line."""

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from services.training.estimators.calibrated import Calibration
from services.training.refusal import RefusedError
from shared.models.session import OnnxModel

BOUND = 1e-6
"""Largest difference of two probabilities that is rounding."""

Floats = npt.NDArray[np.float64]


def check_line(before: OnnxModel, after: OnnxModel, line: Calibration, rows: npt.NDArray[np.float32]) -> float:
    """Return the largest difference between the scores of `after` and the line of those of `before`.

    rows: shape (n, features). What the float32 of an old score has rounded off, as the line stretches it, is no
    difference.

    Raises:
        RefusedError: export_gate: it is beyond BOUND, or two payments change places.
    """
    old, new = (model.scores(rows).astype(np.float64) for model in (before, after))
    with np.errstate(divide="ignore"):
        wanted = expit(line.slope * logit(old) + line.intercept)
    off = np.maximum(0.0, np.abs(new - wanted) - _rounded_off(old, wanted, line))
    ranked = new[np.lexsort((new, old))]
    back = np.maximum.accumulate(ranked) - ranked
    for what, worst in (("scores differ from the line by", off), ("payments change places by", back)):
        if not worst.max() <= BOUND:
            raise RefusedError(
                "export_gate",
                f"of {len(rows)} payments, {int((worst > BOUND).sum())} {what} up to {worst.max():.2g} (bound "
                f"{BOUND:g}): the graph was not changed as it should be; train the model anew",
            )
    return float(off.max())


def _rounded_off(old: Floats, wanted: Floats, line: Calibration) -> Floats:
    """Return by how much `wanted` may be off for what rounding did to `old`."""
    spacing = np.spacing(old.astype(np.float32)).astype(np.float64)
    steepness = line.slope * wanted * (1 - wanted) / np.maximum(old * (1 - old), np.finfo(np.float64).tiny)
    return np.where((old <= 0) | (old >= 1), 1.0, spacing * steepness)
