"""How far two distributions over the same bins are apart."""

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency
from scipy.stats import wasserstein_distance as transport

from shared.models.manifest import Reference

Floats = npt.NDArray[np.floating]

SHARE_MIN = 1e-4
"""An empty bin counts as this share; the index has no value at 0."""


def population_stability_index(was: Floats, now: Floats) -> npt.NDArray[np.float64]:
    """Return the sum over bins, the last axis, of (now - was) · ln(now / was); both are shares.

    0 for equal shares; by custom, from 0.1 a change is small, from 0.25 it is large (Siddiqi, Credit Risk Scorecards,
    2006). Sampling alone gives about (bins - 1) / samples (Yurdakul, Statistical Properties of PSI, 2018).
    """
    before, after = np.maximum(was, SHARE_MIN), np.maximum(now, SHARE_MIN)
    index: npt.NDArray[np.float64] = ((after - before) * np.log(after / before)).sum(axis=-1)
    return index


def jensen_shannon_distance(was: Floats, now: Floats) -> float:
    """Return the square root of the divergence to the base 2: 0 for equal shares, 1 for shares with nothing in common.

    Source: Endres and Schindelin, "A new metric for probability distributions", 2003.
    """
    return float(jensenshannon(was, now, base=2))


def kolmogorov_smirnov(reference: Reference, was: Floats, now: Floats) -> float:
    """Return the largest difference between the shares of values up to any edge.

    Categories have no order: the largest difference between the shares of any set of them.
    """
    if reference.codes:
        return float(np.abs(now - was).sum() / 2)
    return float(np.abs(np.cumsum(now - was)).max())


def wasserstein_distance(reference: Reference, low: float, high: float, was: Floats, now: Floats) -> float | None:
    """Return how far a value moved on average, in its own unit, by the middles of the bins; None for categories.

    low, high: where the first bin begins and the last one ends; infinite, and None again, where nobody knows.
    """
    if reference.codes:
        return None
    edges = np.array([min([low, *reference.edges]), *reference.edges, max([high, *reference.edges])])
    if not np.isfinite(edges).all():
        return None
    middles = (edges[1:] + edges[:-1]) / 2
    return float(transport(middles, middles, now, was))


def chi_squared_p(was: Floats, now: Floats) -> float:
    """Return how likely two samples of one distribution differ as much as these counts; 1 where only one bin is used.

    Payments of one card are alike, so days differ by more than this says.
    """
    counts = np.array([was, now])
    used = counts[:, counts.sum(axis=0) > 0]
    if used.shape[1] < 2 or not used.sum(axis=1).all():  # nothing to differ in
        return 1.0
    return float(chi2_contingency(used, correction=False).pvalue)
