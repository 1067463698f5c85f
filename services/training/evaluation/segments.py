"""How good a model is on parts of the payments: by category, by amount, by how long a card has been known."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.evaluation.bootstrap import Counts, Interval, card_places, intervals
from services.training.evaluation.metrics import RESAMPLES, at_threshold, calibration_error
from services.training.evaluation.ranking import ranking
from services.training.evaluation.scored import Scored
from shared.features.definitions import DAY, Aggregation, Category, Entity, FeatureSet, Field, Window
from shared.features.state import category_value

FRAUDS_MIN = 20
"""With fewer frauds a segment's figures say nothing."""
CATEGORIES_MAX = 20
"""Values of a category that are shown one by one, the most frequent; the others count as one segment."""
AMOUNT_QUANTILES = (0.25, 0.5, 0.75, 0.95)
CARD_AGES = (1 * DAY, 7 * DAY)

Taken = npt.NDArray[np.bool_]


class SegmentFigures(NamedTuple):
    """Average precision and expected calibration error, and precision and recall at the review threshold."""

    average_precision: Interval
    precision: Interval
    recall: Interval
    expected_calibration_error: Interval


@dataclass(frozen=True)
class Segment:
    """Some of the payments, for example country=DE; figures are None where there are too few frauds, or only frauds."""

    name: str
    payments: int
    frauds: int
    figures: SegmentFigures | None


def segments(
    scored: Scored, feature_set: FeatureSet, review: float, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Segment, ...]:
    """Return the segments of `scored`, the worst first: see `worst`.

    review: the review threshold. Without `scored.rows` there are segments by amount only.
    """
    named = parts(scored.amounts, scored.rows, feature_set)
    found = (_segment(name, scored.part(taken), review, resamples, seed) for name, taken in named)
    return tuple(sorted(found, key=_badness))


def parts(
    amounts: npt.NDArray[np.int64], rows: npt.NDArray[np.float32] | None, feature_set: FeatureSet
) -> Iterator[tuple[str, Taken]]:
    """Yield each segment's name and which payments are in it, shape (n,); those that hold none are left out."""
    named = [*_by_amount(amounts)] if len(amounts) else []
    if rows is not None and len(rows):
        named += [*_by_category(rows, feature_set), *_by_card_age(rows, feature_set)]
    return ((name, taken) for name, taken in named if taken.any())


def worst(of: tuple[Segment, ...], count: int = 5) -> tuple[Segment, ...]:
    """Return the segments in which the smallest share of fraud is caught, the worst first, of those with figures.

    By recall, since average precision falls with the fraud rate, whatever the model; and by the upper end of its
    interval, so that a segment does not lead for being small.
    """
    return tuple(segment for segment in sorted(of, key=_badness) if segment.figures)[:count]


def _badness(segment: Segment) -> tuple[float, float, int]:
    if segment.figures is None:
        return np.inf, np.inf, -segment.payments
    return segment.figures.recall.high, segment.figures.average_precision.value, -segment.payments


def _segment(name: str, scored: Scored, review: float, resamples: int, seed: int) -> Segment:
    payments, frauds = len(scored.frauds), int(scored.frauds.sum())
    if frauds < FRAUDS_MIN or frauds == payments:
        return Segment(name, payments, frauds, None)
    places, cards = card_places(scored.cards)
    ranked = ranking(scored.scores, scored.frauds, places)
    taken = at_threshold(scored, review, places)
    error = calibration_error(scored.scores, scored.frauds, places)

    def measured(counts: Counts) -> list[float]:
        return [ranked(counts)[0], *taken(counts)[:2], *error(counts)]

    return Segment(name, payments, frauds, SegmentFigures(*intervals(measured, cards, resamples=resamples, seed=seed)))


def _by_category(rows: npt.NDArray[np.float32], feature_set: FeatureSet) -> Iterator[tuple[str, Taken]]:
    for at, feature in enumerate(feature_set.features):
        if not isinstance(feature, Category):
            continue
        codes, places, counts = np.unique(rows[:, at], return_inverse=True, return_counts=True)
        frequent = np.argsort(-counts, kind="stable")[:CATEGORIES_MAX]
        for place in frequent.tolist():
            yield f"{feature.name}={_text(feature.field, float(codes[place]))}", places == place
        yield f"{feature.name}=any other", ~np.isin(places, frequent)


def _text(field: Field, code: float) -> str:
    """Return what a code stands for, or the number itself where no category has it."""
    try:
        return category_value(field, int(code))
    except ValueError:
        return f"{code:g}"


def _by_amount(amounts: npt.NDArray[np.int64]) -> Iterator[tuple[str, Taken]]:
    edges = np.unique(np.quantile(amounts, AMOUNT_QUANTILES, method="higher"))
    bands = np.searchsorted(edges, amounts, side="right")
    shown = [f"{edge / 100:,.2f}" for edge in edges.tolist()]
    yield f"amount below {shown[0]}", bands == 0
    for at, (low, high) in enumerate(itertools.pairwise(shown), start=1):
        yield f"amount {low} up to {high}", bands == at
    yield f"amount {shown[-1]} or more", bands == len(edges)


def _by_card_age(rows: npt.NDArray[np.float32], feature_set: FeatureSet) -> Iterator[tuple[str, Taken]]:
    known = [
        (at, feature.length)
        for at, feature in enumerate(feature_set.features)
        if isinstance(feature, Window)
        and (feature.entities, feature.aggregation) == ((Entity.CARD,), Aggregation.SINCE_FIRST)
    ]
    if not known:
        return
    column, length = max(known, key=lambda place: place[1])
    ages = rows[:, column]
    since = timedelta()
    for until in (*(age for age in CARD_AGES if age < length), length):
        taken = (ages >= since.total_seconds()) & (ages < until.total_seconds())
        yield f"card known for {_days(since)} to {_days(until)} days", taken
        since = until
    yield f"card known for {_days(length)} days or more", ages >= length.total_seconds()


def _days(span: timedelta) -> str:
    return f"{span / DAY:g}"
