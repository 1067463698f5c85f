"""One thing watched about a model's decisions: what is seen of it by day, what is expected, and the evidence."""

from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, chi2

from services.drift.evidence import Evidence, Floats, log_e_of_mean

CARD_PAYMENTS_MAX = 3
"""Payments that a card's day counts as at most."""
BURST_CARDS = 3
"""Cards that one cause makes frauds on at about one time."""
LEARNT_FROM = 50
"""Cards' days that a segment's level is learnt from."""
LEARNT_FRAUDS = 10.0
"""Frauds to be expected by the scores while a segment's calibration is learnt."""
LEVEL_ERROR = 0.01
"""Probability that a learnt level promises more than there is."""

_FALLS = np.array([0.3, 0.6, 0.95])
_RISES = np.array([1.5, 3.0, 10.0])
_EXPECTED_MIN, _EXPECTED_MAX = 0.01, 0.99
_DAY_SECONDS = 86_400
_GAP_DAYS_MAX = 7.0
_FIRST_STAKE_DAYS = 1 / 24
_DAYS_REMEMBERED = 400
_CARD_DAYS_REMEMBERED = 20_000


class Seen(NamedTuple):
    """Sums over trials: how many, how many of them succeeded (or were fraud), how many were expected to."""

    trials: float = 0.0
    successes: float = 0.0
    expected: float = 0.0


class Level(NamedTuple):
    """What is seen, what is expected, and whether it is worse than expected; None where there is nothing to tell."""

    value: float | None
    expected: float | None
    is_worse: bool


class Bets:
    """Evidence of one watch, whose stakes are placed when it sees something, for the time since it last did.

    That comes to the same as stakes placed all the time, but that a watch which sees nothing has no evidence. Silence
    of more than a week, or a clock that jumps, counts as a week.
    """

    def __init__(self, bets: int) -> None:
        """Start without a stake."""
        self._evidence = Evidence(np.full(bets, 1 / bets))
        self._staked_until: float | None = None
        self._days: float | None = 0.0

    @property
    def days(self) -> float:
        """Evidence in days (services/drift/evidence.py)."""
        if self._days is None:
            self._days = self._evidence.days
        return self._days

    @property
    def since(self) -> datetime | None:
        """When what is seen began to speak against the model, by the bet that has gained most."""
        return self._evidence.since(int(np.argmax(self._evidence.weighted_days)))

    def observe(self, log_e: Floats, at: datetime, now_seconds: float) -> None:
        """Take in logarithms of e-values, one a bet. at: of the payment. now_seconds: how far event time has come."""
        days = _FIRST_STAKE_DAYS
        if self._staked_until is not None:
            days = (now_seconds - self._staked_until) / _DAY_SECONDS
        if days > 0:
            self._evidence.stake(min(days, _GAP_DAYS_MAX))
        if days > 0 or days < -_GAP_DAYS_MAX:
            self._staked_until = now_seconds
        self._evidence.observe(log_e, at)
        self._days = None

    def reset(self) -> None:
        """Forget the evidence."""
        self._evidence.reset()
        self._days = 0.0


class Tally:
    """Trials by the UTC day of their payments, the newest days only."""

    def __init__(self) -> None:
        self._days: dict[int, Seen] = {}

    def add(self, at: datetime, seen: Seen) -> None:
        """Add to the day of `at`; `seen` may be negative, where a label was taken back."""
        day = int(at.timestamp() // _DAY_SECONDS)
        was = self._days.get(day, Seen())
        self._days[day] = Seen(*(before + more for before, more in zip(was, seen, strict=True)))
        if len(self._days) > _DAYS_REMEMBERED:
            del self._days[min(self._days)]

    def since(self, at: datetime) -> Seen:
        """Return the sums from the day of `at` on."""
        first = int(at.timestamp() // _DAY_SECONDS)
        return _sum([seen for day, seen in self._days.items() if day >= first])

    def latest(self, trials_min: float) -> Seen:
        """Return the sums over as many of the newest days as hold `trials_min` trials; of all, where they do not."""
        taken: list[Seen] = []
        for day in sorted(self._days, reverse=True):
            taken.append(self._days[day])
            if sum(seen.trials for seen in taken) >= trials_min:
                break
        return _sum(taken)


def _sum(parts: list[Seen]) -> Seen:
    return Seen(*(sum(column) for column in zip(*parts, strict=True))) if parts else Seen()


class Share:
    """A share of payments that should not fall, as recall: of the frauds, those that were caught.

    Payments of one card on one day are caught or missed together, so they make one observation, their mean, which
    counts as their number: expected shares are by payment, and a mean over cards is not the same. What speaks against
    the model counts as CARD_PAYMENTS_MAX at most, what speaks for it in full. The bets are on falls by 10, 20 and 32 %,
    and more where cards' days are larger: with greater stakes, a day of CARD_PAYMENTS_MAX hits would lose everything.
    The bound on false alarms is exact up to cards' days of that size; where larger ones are common, evidence still
    shrinks while all is well, and the bound is nearly kept.

    Without an expected share it is learnt from LEARNT_FROM cards' days: the lower bound (Clopper and Pearson, 1934)
    that is right with a probability of 1 - LEVEL_ERROR.
    """

    def __init__(self, expected: float | None, *, expected_max: float = 1.0) -> None:
        """Start; expected_max: a learnt share is not above it."""
        self.tally = Tally()
        self.bets = Bets(len(_FALLS))
        self.expected = None if expected is None else _clamped(expected)
        self._expected_max = expected_max
        self._card_days: OrderedDict[tuple[str, int], Seen] = OrderedDict()

    @property
    def is_learning(self) -> bool:
        """Whether the expected share is not known yet."""
        return self.expected is None

    def level(self, seen: Seen) -> Level:
        """Return the share of successes beside the expected one."""
        value = seen.successes / seen.trials if seen.trials > 0 else None
        is_worse = value is not None and self.expected is not None and value < self.expected
        return Level(value, self.expected, is_worse)

    def observe(self, card_id: str, at: datetime, change: Seen, now_seconds: float) -> None:
        """Take in a payment, Seen(1, 0 or 1), or what has become known of an earlier one, as Seen(0, 1)."""
        key = card_id, int(at.timestamp() // _DAY_SECONDS)
        was = self._card_days.get(key, Seen())
        now = Seen(was.trials + change.trials, was.successes + change.successes)
        if now.trials < 0 or not 0 <= now.successes <= now.trials:
            return  # takes back what was forgotten
        self.tally.add(at, change)
        self._card_days[key] = now
        if self.expected is None:
            if len(self._card_days) >= LEARNT_FROM:
                self.expected = self._learnt()
                self._card_days.clear()
            return
        if len(self._card_days) > _CARD_DAYS_REMEMBERED:
            self._card_days.popitem(last=False)
        log_e = _log_e_of_card_day(now, self.expected)
        if was.trials:
            log_e = log_e - _log_e_of_card_day(was, self.expected)
        self.bets.observe(log_e, at, now_seconds)

    def reset(self) -> None:
        """Forget the evidence; what was learnt stays."""
        self.bets.reset()
        if self.expected is not None:
            self._card_days.clear()

    def _learnt(self) -> float:
        days = [(min(seen.trials, CARD_PAYMENTS_MAX), seen) for seen in self._card_days.values() if seen.trials]
        share = sum(weight * seen.successes / seen.trials for weight, seen in days) / sum(weight for weight, _ in days)
        successes = share * len(days)
        low = beta.ppf(LEVEL_ERROR, successes, len(days) - successes + 1) if successes else 0.0
        return _clamped(min(float(low), self._expected_max))


def _clamped(share: float) -> float:
    return min(max(share, _EXPECTED_MIN), _EXPECTED_MAX)


def _log_e_of_card_day(seen: Seen, expected: float) -> Floats:
    if not seen.trials:
        return np.zeros(len(_FALLS))
    weight = min(seen.trials, CARD_PAYMENTS_MAX) / CARD_PAYMENTS_MAX
    gain = seen.successes / seen.trials - expected
    log_e = log_e_of_mean(expected + weight * gain, expected, expected * (1 - _FALLS))
    return log_e * max(1.0, seen.trials / CARD_PAYMENTS_MAX) if gain > 0 else log_e


class Excess:
    """More frauds than the scores say.

    A payment is expected to be fraud with the probability that its score allows; the bets are on 1.5, 3 and 10 times
    as many bursts of fraud, which take BURST_CARDS cards together, as at a merchant that was broken into. A segment
    first learns by how much more, as a whole: the upper bound of a Poisson mean (Garwood, 1936).
    """

    def __init__(self, *, is_learnt: bool) -> None:
        """Start; is_learnt: with a factor that is to be learnt."""
        self.tally = Tally()
        self.bets = Bets(len(_RISES))
        self.factor = None if is_learnt else 1.0
        self._learning = Seen()

    @property
    def is_learning(self) -> bool:
        """Whether the factor is not known yet."""
        return self.factor is None

    def level(self, seen: Seen) -> Level:
        """Return the share of frauds beside the one that the scores allow."""
        if seen.trials <= 0:
            return Level(None, None, is_worse=False)
        return Level(seen.successes / seen.trials, seen.expected / seen.trials, seen.successes > seen.expected)

    def observe(self, frauds: Floats, allowed: Floats, at: datetime, now_seconds: float) -> None:
        """Take in payments of about one time. frauds: shape (n,), 0 or 1. allowed: shape (n,), probabilities."""
        if self.factor is None:
            self._learn(frauds, allowed)
            return
        expected = np.minimum(self.factor * allowed, _EXPECTED_MAX)
        self.tally.add(at, Seen(len(frauds), float(frauds.sum()), float(expected.sum())))
        # Were all frauds bursts of BURST_CARDS, the mean would still be at most 1: (1 + x / n)^n is more than 1 + x.
        losses = np.log1p((_RISES - 1) / BURST_CARDS * expected[:, None]).sum(axis=0)
        log_e = frauds.sum() / BURST_CARDS * np.log(_RISES) - losses
        self.bets.observe(log_e, at, now_seconds)

    def reset(self) -> None:
        """Forget the evidence."""
        self.bets.reset()

    def _learn(self, frauds: Floats, allowed: Floats) -> None:
        was = self._learning
        self._learning = now = Seen(
            was.trials + len(frauds), was.successes + float(frauds.sum()), was.expected + float(allowed.sum())
        )
        if now.expected >= LEARNT_FRAUDS:
            upper = chi2.ppf(1 - LEVEL_ERROR, 2 * (now.successes + 1)) / 2
            self.factor = max(1.0, float(upper) / now.expected)
