"""How a simulated world changes: with the calendar, as it always did, and for good, which is drift."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from services.local.simulation.world import Flags, Floats, Payments, World

DriftKind = Literal["covariate", "concept", "prior", "new_pattern"]

DISGUISE_CATEGORY = "5732"
"""Electronics, which are easily sold on."""

_DISGUISE_AMOUNT = (0.5, 1.5)
_SATURDAY = 5
_PAYDAYS = range(25, 28)


@dataclass(frozen=True)
class Rhythm:
    """What comes back by the calendar.

    weekend: payments on a Saturday or Sunday, for each on a working day. payday, payday_amount: payments, and what each
    amounts to, from the 25th to the 27th of a month, for what they are on other days.
    """

    weekend: float = 0.75
    payday: float = 1.3
    payday_amount: float = 1.15

    def payments(self, day: date) -> float:
        """Return by how much the number of payments differs on `day`."""
        return (self.weekend if day.weekday() >= _SATURDAY else 1.0) * (self.payday if day.day in _PAYDAYS else 1.0)

    def amounts(self, day: date) -> float:
        """Return by how much what they amount to differs on `day`."""
        return self.payday_amount if day.day in _PAYDAYS else 1.0


STEADY = Rhythm(weekend=1.0, payday=1.0, payday_amount=1.0)
"""Every day is like every other."""


@dataclass(frozen=True)
class Drift:
    """One change for good.

    kind: covariate multiplies amounts by `factor`; an owner's stay below those that only fraudsters spend, so what was
    fraud is fraud. concept disguises frauds: they move to online shops of one category, where they amount to what the
    card's owner usually pays. prior multiplies how many cards and merchants fall to fraudsters by `factor`. new_pattern
    lets card testing begin, as much of it as the world's bursts_daily says.
    from_day: the first day that is changed, counted from the world's start. over_days: the change grows evenly over so
    many days; 1: it is whole at once. factor: of covariate and prior. country: of covariate and concept: only payments
    there change; None: all do.

    Raises:
        ValueError: prior or new_pattern with a country, new_pattern over several days, over_days below 1, a factor
            that is not above 0, or of a prior one below 1.
    """

    kind: DriftKind
    from_day: int
    over_days: int = 1
    factor: float = 1.0
    country: str | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.country is not None and self.kind not in {"covariate", "concept"}:
            raise ValueError(f"a {self.kind} drift has no country: cards and bursts are not of one")
        if self.kind == "new_pattern" and self.over_days > 1:
            raise ValueError("a new_pattern drift is whole at once; leave over_days out")
        if self.kind == "prior" and self.factor < 1:
            raise ValueError(f"the factor of a prior drift must be at least 1, not {self.factor}")
        if not self.factor > 0 or self.over_days < 1:
            raise ValueError(f"factor must be above 0, not {self.factor}; over_days at least 1, not {self.over_days}")

    def strength(self, day: int) -> float:
        """Return how far the change has come on `day`: 0 to 1."""
        return min(1.0, max(0.0, (day - self.from_day + 1) / self.over_days))


def has_begun(drifts: Sequence[Drift], kind: DriftKind, day: int) -> bool:
    """Return whether a drift of `kind` is on, if only a little."""
    return any(drift.kind == kind and drift.strength(day) > 0 for drift in drifts)


def more_often(drifts: Sequence[Drift], day: int) -> float:
    """Return how much more often somebody falls to fraudsters on `day`: 0 as usual, 2 thrice as often."""
    return sum((drift.factor - 1) * drift.strength(day) for drift in drifts if drift.kind == "prior")


def amount_factors(drifts: Sequence[Drift], day: int, world: World) -> Floats:
    """Return by how much amounts at each merchant differ on `day`, shape (merchants,)."""
    factors = np.ones(len(world.merchant_ids))
    for drift in drifts:
        if drift.kind == "covariate":
            factors[_concerned(drift, world)] *= 1 + (drift.factor - 1) * drift.strength(day)
    return factors


def grown(payments: Payments, factors: Floats, *, genuine_cents_max: int) -> Payments:
    """Return the payments with their amounts multiplied; factors: by merchant, shape (merchants,).

    genuine_cents_max: a genuine payment that would be of more stays as it is.
    """
    amounts = np.maximum(1, np.rint(payments.amount_cents * factors[payments.merchant])).astype(np.int64)
    stays = (payments.scenario == 0) & (amounts > genuine_cents_max)
    return payments._replace(amount_cents=np.where(stays, payments.amount_cents, amounts))


def disguised(
    payments: Payments, drifts: Sequence[Drift], day: int, world: World, random: np.random.Generator, *, scenario: int
) -> Payments:
    """Return the payments with frauds disguised as the concept drifts say; scenario: what these are then.

    Raises:
        ValueError: the world has no shop that would do.
    """
    for drift in drifts:
        if drift.kind != "concept" or not drift.strength(day):
            continue
        concerned = _concerned(drift, world)
        shops = np.flatnonzero(world.online & (np.array(world.categories) == DISGUISE_CATEGORY) & concerned)
        if not len(shops):
            where = drift.country or "the world"
            raise ValueError(f"no online shop of category {DISGUISE_CATEGORY} in {where}; give it more merchants")
        drawn = random.random(len(payments.card)) < drift.strength(day)
        taken = np.flatnonzero((payments.scenario > 0) & concerned[payments.merchant] & drawn)
        cents = 100 * world.mean_amount[payments.card[taken]] * random.uniform(*_DISGUISE_AMOUNT, len(taken))
        merchant, amount_cents, kind = payments.merchant.copy(), payments.amount_cents.copy(), payments.scenario.copy()
        merchant[taken] = random.choice(shops, len(taken))
        amount_cents[taken] = np.maximum(1, np.rint(cents))
        kind[taken] = scenario
        payments = payments._replace(merchant=merchant, amount_cents=amount_cents, scenario=kind)
    return payments


def _concerned(drift: Drift, world: World) -> Flags:
    """Return at which merchants payments change, shape (merchants,)."""
    countries = np.array(world.countries)
    return np.full(len(countries), True) if drift.country is None else countries == drift.country
