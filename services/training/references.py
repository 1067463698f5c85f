"""How features and scores were distributed in training: what drift is measured against."""

import numpy as np
import numpy.typing as npt

from services.training.candidate import Candidate
from shared.models.manifest import Reference

EDGES_MAX = 20
SHARE_MIN = 0.005
"""Quantiles are not laid closer than this: a bin with less would tell more noise than drift."""
SCORE = "score"


def references_of(candidate: Candidate) -> dict[str, Reference]:
    """Return a reference for each feature and for the score, from the latest payments, which were held out.

    Not from all of them: counts over 30 days still grow in a history's first month, which is not what they will be.
    """
    held_out = candidate.held_out
    categories = held_out.feature_set.categories
    references = {
        name: (category_reference if at in categories else reference)(held_out.rows[:, at])
        for at, name in enumerate(held_out.feature_set.feature_names)
    }
    return references | {SCORE: reference(candidate.scores)}


def reference(values: npt.NDArray[np.float32]) -> Reference:
    """Return the distribution of `values`, shape (n,), over bins at their quantiles; no bin is empty.

    A smallest value that is frequent has a bin of its own, so that a feature which is nearly always 0 is watched where
    it is not. Edges lie halfway between two values that occurred: a value that comes back rounded differently stays in
    its bin. A constant has no edges.
    """
    distinct, counts = np.unique(values.astype(np.float64), return_counts=True)
    cumulated = np.cumsum(counts)
    total, smallest = cumulated[-1], cumulated[0]
    alone = smallest > total / (EDGES_MAX + 1)
    start = smallest if alone else 0
    bins = max(1, min(EDGES_MAX, int((total - start) / total / SHARE_MIN)) + (not alone))
    wanted = start + (total - start) * np.arange(0 if alone else 1, bins) / bins
    at = np.unique(np.searchsorted(cumulated, wanted, side="right"))
    at = at[(at > 0) & (at < len(distinct))]
    edges = (distinct[at - 1] + distinct[at]) / 2
    ends = np.concatenate([[0], cumulated[at - 1], [total]])
    return Reference(edges=edges.tolist(), fractions=(np.diff(ends) / total).tolist())


def category_reference(codes: npt.NDArray[np.float32]) -> Reference:
    """Return how often each category occurs among `codes`, shape (n,); rare ones share the last bin with unseen ones.

    Were the rare ones watched one by one, their chance coming and going would add up to drift.
    """
    distinct, counts = np.unique(codes, return_counts=True)
    frequent = np.sort(np.argsort(-counts, kind="stable")[:EDGES_MAX])
    frequent = frequent[counts[frequent] >= SHARE_MIN * len(codes)]
    shares = counts[frequent] / len(codes)
    others = (len(codes) - counts[frequent].sum()) / len(codes)
    return Reference(codes=[int(code) for code in distinct[frequent]], fractions=[*shares.tolist(), float(others)])
