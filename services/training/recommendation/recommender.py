"""A recommender in memory: linear item-to-item models, blended, over popularity. The slow way to its scores.

Every family (EASE, nearest neighbours, co-occurrence, factors) ends as a table of each item's strongest neighbours, so
one graph serves them all, and a score is a sum over the shopper's history: what an item of it contributed is exact.

The score of item j for a history h_0 (the latest), h_1, ... with weights w_0, w_1, ...:

    score(j) = p * popularity[s, j]  +  sum over components c: weight_c * sum over k < length_c: a_ck * S_c[h_k, j]
    a_ck     = w_k * decay_c**k / (sum over k of w_k * decay_c**k) ** norm_c
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int32]
Strengths = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


class Neighbours(NamedTuple):
    """Each item's strongest neighbours: what having it in the history adds to the score of another.

    items: shape (items, width), which neighbours. strengths: likewise, how strong; 0 where there are fewer.
    """

    items: Indices
    strengths: Strengths


@dataclass(frozen=True)
class Component:
    """One linear model of the blend; the letters are those of the module's formula."""

    name: str
    neighbours: Neighbours
    weight: float
    decay: float = 1.0
    length: int = 50
    norm: float = 0.0


@dataclass(frozen=True)
class Recommender:
    """A blend over the items of a catalogue.

    item_ids: position → id. popularity: shape (segments, items); segment 0 is everyone.
    segments: values of the user attribute `segment_attribute`, behind "everyone".
    kind_weights: what an interaction of each kind counts. half_life_seconds: after which it counts half.
    """

    item_ids: tuple[str, ...]
    components: tuple[Component, ...]
    popularity: Strengths
    popularity_weight: float
    segments: tuple[str, ...]
    segment_attribute: str | None
    kind_weights: dict[str, float]
    half_life_seconds: float | None

    @property
    def history_max(self) -> int:
        """Interactions of a history that can count."""
        return max((component.length for component in self.components), default=0)


def position_weights(component: Component, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a_ck of the formula for the first `length` items; weights: of the history, the latest first."""
    decayed: Scores = weights[: component.length] * component.decay ** np.arange(min(len(weights), component.length))
    total = decayed.sum()
    return decayed / total**component.norm if total > 0 else decayed


def scores_of(
    recommender: Recommender, history: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], *, segment: int = 0
) -> Scores:
    """Return the score of every item.

    history: positions in `item_ids`, the latest first, shape (n,). weights: shape (n,), not negative.
    """
    scores: Scores = recommender.popularity_weight * recommender.popularity[segment].astype(np.float64)
    for component in recommender.components:
        items, strengths = component.neighbours
        shares = component.weight * position_weights(component, weights)
        rows = history[: component.length]
        np.add.at(scores, items[rows], strengths[rows].astype(np.float64) * shares[:, np.newaxis])
    return scores
