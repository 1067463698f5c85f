"""How well models rank in each test period: whether they hold, or fade."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from services.training.evaluation.bootstrap import Interval, card_places, intervals
from services.training.evaluation.curves import Drawn, Period
from services.training.evaluation.metrics import RESAMPLES
from services.training.evaluation.ranking import ranking
from services.training.evaluation.scored import Scored

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def periods_of(models: Sequence[Drawn], begins_us: Sequence[int], *, resamples: int = RESAMPLES) -> tuple[Period, ...]:
    """Return the average precision of each model in each period, oldest first; a period is named by its first day.

    begins_us: event times in microseconds, ascending; the last period ends with the payments. Of a period that holds
    only one class for a model, nothing can be told about that model; where that is so for all, it is left out.
    """
    bounds = [*begins_us, np.iinfo(np.int64).max]
    found = []
    for begin, end in zip(begins_us, bounds[1:], strict=True):
        parts = [(label, scored.part((scored.times >= begin) & (scored.times < end))) for label, scored in models]
        told = {label: _average_precision(part, resamples) for label, part in parts if _has_both(part)}
        if told:
            found.append(Period(f"{_EPOCH + timedelta(microseconds=int(begin)):%Y-%m-%d}", told))
    return tuple(found)


def _average_precision(scored: Scored, resamples: int) -> Interval:
    places, cards = card_places(scored.cards)
    return intervals(ranking(scored.scores, scored.frauds, places), cards, resamples=resamples, seed=0)[0]


def _has_both(scored: Scored) -> bool:
    return 0 < int(scored.frauds.sum()) < len(scored.frauds)
