"""Whether a new model ranks frauds better than the champion, by a paired test that states its error rate.

Both score the same payments, which are new to both. Were the two equally good, their ranks of a payment could change
places and nothing would be different; so they are exchanged, for all payments of a card at once, for a random half of
the cards, again and again, and the new model wins when so large a lead in average precision comes about in at most
`error_rate` of the exchanges (Fisher 1935; for ranking measures: Smucker, Allan and Carterette, "A Comparison of
Statistical Significance Tests for Information Retrieval Evaluation", CIKM 2007). A model that is no better is then
promoted in at most that share of runs, whatever the scores are distributed like. Cards, not payments, are exchanged,
since a card's payments are alike.
"""

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.data.dataset import TrainingSet
from shared.models.manifest import Manifest

EXCHANGES = 1_999
FRAUDS_MIN = 10
"""With fewer frauds an average precision says nothing."""
CARDS_MIN = 20
"""With fewer cards there are too few ways to exchange them."""
_LEVELS_A_DOUBLING = 64
"""Ranks are told apart down to so many steps each time they double: all of the first hundred, and finely beyond."""

Levels = npt.NDArray[np.int64]


class PairedTest(NamedTuple):
    """How the test came out.

    lead: the challenger's figure less the champion's, here the average precision on ranks. p_value: None where it
    cannot be tested.
    """

    better: bool
    lead: float
    p_value: float | None
    explanation: str


def paired_test(
    champion: npt.NDArray[Any],
    challenger: npt.NDArray[Any],
    frauds: npt.NDArray[np.int8],
    cards: npt.NDArray[np.int64],
    *,
    error_rate: float,
    seed: int = 0,
) -> PairedTest:
    """Test whether the challenger's scores rank frauds better than the champion's.

    champion, challenger, frauds, cards: shape (n,), a row a payment; scores on whatever scales.
    """
    found, card_count = int(frauds.sum()), len(np.unique(cards))
    what = f"{len(frauds)} payments of {card_count} cards ({found} frauds) that are new to both"
    if found < FRAUDS_MIN or card_count < CARDS_MIN or found == len(frauds):
        return PairedTest(
            False,
            0.0,
            None,
            f"not comparable yet: {what}; at least {FRAUDS_MIN} frauds and {CARDS_MIN} cards are needed, so ask again "
            "when more labels have come",
        )
    fraud = frauds.astype(np.bool_)
    ours, theirs = _levels(challenger), _levels(champion)
    levels = int(max(ours.max(), theirs.max())) + 1
    lead = _precision(ours, fraud, levels) - _precision(theirs, fraud, levels)
    card = np.unique(cards, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    as_large = 0
    for _ in range(EXCHANGES):
        exchanged = rng.integers(0, 2, card_count, dtype=np.int8)[card].astype(np.bool_)
        one = _precision(np.where(exchanged, theirs, ours), fraud, levels)
        other = _precision(np.where(exchanged, ours, theirs), fraud, levels)
        # Rounding must not turn an exchange of equals into a smaller lead.
        as_large += one - other >= lead - 1e-12
    p_value = (1 + as_large) / (1 + EXCHANGES)
    better = lead > 0 and p_value <= error_rate
    return PairedTest(
        better,
        lead,
        p_value,
        f"a lead of {lead:+.3f} in average precision on {what}; "
        f"p = {p_value:.2g}, {'within' if better else 'beyond'} the error rate of {error_rate:g}",
    )


def new_to(champion: Manifest, data: TrainingSet) -> npt.NDArray[np.bool_]:
    """Return which payments are later than everything the champion was trained on, shape (n,)."""
    until = champion.trained_until
    return np.asarray(data.times > (np.iinfo(np.int64).min if until is None else _microseconds(until)))


def _microseconds(at: datetime) -> int:
    return int(np.datetime64(at.replace(tzinfo=None), "us").astype(np.int64))


def _levels(scores: npt.NDArray[Any]) -> Levels:
    """Return each payment's rank from the top, shape (n,), on a scale that grows coarser; equal scores share one."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    above = np.cumsum(counts[::-1])[::-1] - counts
    ranks = above[inverse] + (counts[inverse] - 1) / 2
    fine = np.log2(1 + ranks / _LEVELS_A_DOUBLING) * _LEVELS_A_DOUBLING
    return np.asarray(np.floor(fine), dtype=np.int64)


def _precision(levels: Levels, fraud: npt.NDArray[np.bool_], count: int) -> float:
    """Return the average precision of ranking by `levels`, the lowest first, of which there are `count`."""
    taken = np.cumsum(np.bincount(levels, minlength=count))
    hits = np.bincount(levels[fraud], minlength=count)
    caught = np.cumsum(hits)
    some = hits > 0
    return float(np.sum(hits[some] * caught[some] / taken[some]) / caught[-1])
