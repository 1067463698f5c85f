"""How well scores rank: average precision, area under the ROC curve, and precision among the most suspicious cards."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.evaluation.bootstrap import Counts, Statistic
from services.training.evaluation.scored import Scored

CARDS_LOOKED_AT = 100
"""Cards a day that an investigator can look at, as in the Fraud Detection Handbook."""


class RankedTotals(NamedTuple):
    """Payments at or above each distinct score, highest first: shape (distinct scores,) each."""

    scores: npt.NDArray[np.float64]
    frauds: npt.NDArray[np.int64]
    payments: npt.NDArray[np.int64]


def ranked_totals(scored: Scored) -> RankedTotals:
    """Return how many payments, and how many frauds, each threshold takes."""
    order, cuts = _ranked(scored.scores)
    frauds = np.cumsum(scored.frauds[order], dtype=np.int64)[cuts]
    return RankedTotals(scored.scores[order][cuts].astype(np.float64), frauds, cuts + 1)


def average_precision(scores: npt.NDArray[np.float32], frauds: npt.NDArray[np.int8]) -> float:
    """Return the average precision: the precision at each score, weighted by the recall it adds; NaN without fraud."""
    places = np.zeros(len(scores), dtype=np.int64)
    return ranking(scores, frauds, places)(np.ones(1, dtype=np.int64))[0]


def ranking(scores: npt.NDArray[np.float32], frauds: npt.NDArray[np.int8], places: npt.NDArray[np.int64]) -> Statistic:
    """Return a statistic: average precision and area under the ROC curve. places: each payment's card, shape (n,)."""
    order, cuts = _ranked(scores)
    cards, is_fraud = places[order], frauds[order].astype(np.int64)

    def measured(counts: Counts) -> Sequence[float]:
        weights = counts[cards]
        taken = np.cumsum(weights)[cuts]
        hits = np.cumsum(weights * is_fraud)[cuts]
        alarms = taken - hits
        new_hits, new_alarms = np.diff(hits, prepend=0), np.diff(alarms, prepend=0)
        with np.errstate(invalid="ignore"):
            precision = hits / np.maximum(taken, 1)
            above = np.sum(new_alarms * (hits - new_hits / 2))
            return float(np.sum(new_hits * precision) / hits[-1]), float(above / (hits[-1] * alarms[-1]))

    return measured


class _CardDay(NamedTuple):
    """One day's cards, the most suspicious first: their places, and whether they were defrauded that day."""

    cards: npt.NDArray[np.int64]
    defrauded: npt.NDArray[np.bool_]


def card_precision(scored: Scored, places: npt.NDArray[np.int64], *, looked_at: int = CARDS_LOOKED_AT) -> Statistic:
    """Return a statistic: card precision, and the highest that any model could have.

    Each day (UTC) the cards are ranked by their highest score; the precision is the share of defrauded cards among the
    first `looked_at`; these are caught, and left out on later days. The figure is the mean over the days (Le Borgne,
    Siblini, Lebichot, Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection", 2022, chapter 4).
    """
    days = _card_days(scored, places)

    def measured(counts: Counts) -> Sequence[float]:
        caught = np.zeros(len(counts), dtype=np.bool_)
        found, possible = [], []
        for day in days:
            left = np.where(caught[day.cards], 0, counts[day.cards])
            taken = np.clip(looked_at - (np.cumsum(left) - left), 0, left)
            found.append(taken[day.defrauded].sum() / looked_at)
            possible.append(min(looked_at, left[day.defrauded].sum()) / looked_at)
            caught[day.cards[day.defrauded & (taken > 0)]] = True
        return float(np.mean(found)), float(np.mean(possible))

    return measured


def _ranked(scores: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the order from the highest score down, and where in it the last of each distinct score stands."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    return order, np.flatnonzero(np.append(ranked[:-1] != ranked[1:], True))


def _card_days(scored: Scored, places: npt.NDArray[np.int64]) -> list[_CardDay]:
    order = np.lexsort((places, scored.days))
    days, cards = scored.days[order], places[order]
    first = np.append(True, (days[1:] != days[:-1]) | (cards[1:] != cards[:-1]))
    starts = np.flatnonzero(first)
    highest = np.maximum.reduceat(scored.scores[order], starts)
    defrauded = np.maximum.reduceat(scored.frauds[order], starts).astype(np.bool_)
    days, cards = days[starts], cards[starts]
    ordered = np.lexsort((cards, -highest, days))
    ends = np.flatnonzero(np.diff(days)) + 1
    return [_CardDay(cards[day], defrauded[day]) for day in np.split(ordered, ends)]
