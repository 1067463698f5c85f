"""Contributions that add up, and how shares of a sum become log odds."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.models.graph_score import Link

_STEP = 1e-6
"""Below this difference of two sums the slope between them is taken from their neighbourhood."""

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]


class Attribution(NamedTuple):
    """base + contributions.sum() is `logit`, the log odds of fraud; contributions: shape (features,), log odds."""

    base: float
    logit: float
    contributions: Floats


def in_log_odds(contributions: Floats, base: float, logit: float, link: Link) -> Attribution:
    """Return shares of a sum as shares of the log odds.

    All are stretched alike, by the slope between base and sum: for boosting and linear models, that of the calibration.
    Where the calibration cuts the log odds off, and for a sum of probabilities, the slope is what makes the
    contributions add up to what the model says.

    contributions: they add up to the sum minus `base`. logit: what the model makes of the sum.
    """
    difference = float(contributions.sum())
    base_logit = link.log_odds(base)
    if abs(difference) < _STEP:
        slope = (link.log_odds(base + _STEP) - link.log_odds(base - _STEP)) / (2 * _STEP)
    else:
        slope = (logit - base_logit) / difference
    return Attribution(base_logit, logit, contributions * slope)
