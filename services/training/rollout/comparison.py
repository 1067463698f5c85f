"""Whether a new version does harm: pure, on what it and the version before it made of payments.

It was proven better before it is rolled out; here nothing is proven again. Looking often must not find harm by chance:
rates must lie over their bound by SURE standard errors, or by ENOUGH once a stage has all its payments; rankings are
tested at the 10th, 20th, 40th ... fraud only, and the looks share the error rate as 1/2 + 1/6 + 1/12 + ... = 1.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.gates.promotion import CARDS_MIN, FRAUDS_MIN, PairedTest, paired_test

SURE, ENOUGH = 4.0, 2.0
"""By chance, one-sided: three times in a hundred thousand, and twice in a hundred."""

Cards = npt.NDArray[np.int64]


class Hits(NamedTuple):
    """Which payments something is true of: shape (n,). cards: whose they are, as numbers that both versions share."""

    cards: Cards
    hits: npt.NDArray[np.bool_]

    @property
    def rate(self) -> float:
        """The share of payments; 0 where there are none."""
        return float(self.hits.mean()) if len(self.hits) else 0.0


class Side(NamedTuple):
    """What a version made of payments.

    flagged: reviewed or declined, and not known as fraud by now: catching a new kind of fraud is no harm. unscored: it
    had no score, so the fallback stood in.
    """

    flagged: Hits
    unscored: Hits

    @property
    def payments(self) -> int:
        """How many there are."""
        return len(self.flagged.hits)

    @property
    def scored(self) -> int:
        """How many of them have a score."""
        return self.payments - int(self.unscored.hits.sum())


class Seen(NamedTuple):
    """What there is to judge a stage by.

    matured, frauds: how many payments that both have scored are old enough for labels, and how many are fraud. test:
    whether the version before ranks frauds surely better.
    """

    new: Side
    before: Side
    matured: int
    frauds: int
    test: PairedTest


class Bound(NamedTuple):
    """How large a rate may be: `factor` times that of the version before, or `allowed` where that is more; and `slack`.

    Rates are shares of payments.
    """

    factor: float
    allowed: float
    slack: float


def exceeds(new: Hits, before: Hits, bound: Bound, *, surely: bool) -> bool:
    """Tell whether the new version's rate lies over its bound; never where one of them has seen nothing.

    surely: by SURE standard errors rather than ENOUGH, taken over cards, since the payments of a card are alike
    (linearised ratio; Cochran, Sampling Techniques, 1977, 11.9).
    """
    if not len(new.hits) or not len(before.hits):
        return False
    over_before = new.rate - bound.factor * before.rate - bound.slack
    over_allowed = new.rate - bound.allowed - bound.slack
    if surely and len(np.unique(new.cards)) < CARDS_MIN:
        return False
    errors = SURE if surely else ENOUGH
    one, other = _deviations(new.hits), bound.factor * _deviations(before.hits)
    by_both = _standard_error(np.concatenate([new.cards, before.cards]), np.concatenate([one, -other]))
    return over_before > errors * by_both and over_allowed > errors * _standard_error(new.cards, one)


def harm_test(
    new: npt.NDArray[Any],
    before: npt.NDArray[Any],
    frauds: npt.NDArray[np.int8],
    cards: Cards,
    *,
    error_rate: float,
) -> PairedTest:
    """Test whether the version before ranks frauds better than the new one, at the latest look that is due.

    new, before, frauds, cards: shape (n,), a row a payment, in order of time; the first two are scores. error_rate: in
    how many rollouts of a version that is no worse any look may find it so.
    """
    look = max(1, 1 + int(math.log2(max(1, frauds.sum()) / FRAUDS_MIN)))
    due = FRAUDS_MIN * 2 ** (look - 1)
    until = int(np.searchsorted(np.cumsum(frauds, dtype=np.int64), due)) + 1
    return paired_test(
        new[:until], before[:until], frauds[:until], cards[:until], error_rate=error_rate / (look * (look + 1))
    )


def _deviations(hits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    return np.asarray((hits - hits.mean()) / len(hits), dtype=np.float64)


def _standard_error(cards: Cards, deviations: npt.NDArray[np.float64]) -> float:
    by_card = np.bincount(np.unique(cards, return_inverse=True)[1], weights=deviations)
    return float(np.sqrt(np.sum(by_card**2)))
