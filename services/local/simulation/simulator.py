"""Card payments that never happened, with the truth beside each: seeded, endless, made a day at a time.

The payments and the three standing kinds of fraud follow the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot,
Bontempi: "Reproducible Machine Learning for Credit Card Fraud Detection", 2022, chapter 3). Card testing is ours: a
pattern that can be switched on while the stream runs, so that a model meets what it has not learnt. The devices are
ours too: a card's owner pays online from one or two of their own, a fraudster from one that all the cards in their
hands share, changed every two weeks. Card testing is a script's, which tells no device. A rhythm of weekends and
paydays, and drifts, are ours as well (change.py); there are none unless asked for.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

import numpy as np

from services.local.simulation import change
from services.local.simulation.chance import Chance, Stream
from services.local.simulation.world import Flags, Floats, Integers, Payments, World, draw_world
from shared.contracts.events import Label, Transaction
from shared.contracts.ids import derived_event_id

CURRENCY = "EUR"
LARGE_AMOUNT_CENTS = 220_00
MERCHANT_COMPROMISED_DAYS = 28
CARD_COMPROMISED_DAYS = 14
COMPROMISED_CARD_FRAUD_SHARE = 1 / 3
COMPROMISED_CARD_AMOUNT_FACTOR = 5
FRAUDSTERS_PER_CARD = 1 / 500
FRAUDSTER_DEVICE_DAYS = 14
SECOND_DEVICE_PAYMENT_SHARE = 0.3
BURST_PAYMENTS = (8, 15)
BURST_SECONDS = 3600
BURST_AMOUNT_CENTS = (50, 2_00)

_NO_DEVICE = -1
_DAY = timedelta(days=1)
_NOON_SECONDS = 43_200.0
_TIME_OF_DAY_DEVIATION_SECONDS = 20_000.0


class Scenario(Enum):
    """What a payment is."""

    GENUINE = "genuine"
    LARGE_AMOUNT = "large amount"
    COMPROMISED_MERCHANT = "compromised merchant"
    COMPROMISED_CARD = "compromised card"
    CARD_TESTING = "card testing"
    DISGUISED = "disguised"


_SCENARIOS = tuple(Scenario)
_CARD_TESTING = _SCENARIOS.index(Scenario.CARD_TESTING)
_COMPROMISED_CARD = _SCENARIOS.index(Scenario.COMPROMISED_CARD)


@dataclass(frozen=True)
class SimulatedPayment:
    """A payment and the truth about it."""

    transaction: Transaction
    is_fraud: bool
    scenario: Scenario


@dataclass(frozen=True)
class SimulatorConfig:
    """The world and what goes wrong in it.

    start: midnight of day 0, UTC.
    first_day: the day that the stream begins with; what fell to fraudsters in the days before is theirs on it.
    merchants_compromised_daily, cards_compromised_daily: share of all that fall to fraudsters each day; the defaults
        are the book's 2 of 10,000 and 3 of 5,000.
    bursts_daily: share of all cards that are tested each day once the new pattern is on.
    label_delay: from a payment to the label that tells what it was; every fraud gets one (a chargeback).
    genuine_labelled_share: share of genuine payments that get one too (a review).
    rhythm: what comes back by the calendar. drifts: what changes for good.
    """

    seed: int = 1
    cards: int = 5_000
    merchants: int = 10_000
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    first_day: int = 0
    merchants_compromised_daily: float = 2 / 10_000
    cards_compromised_daily: float = 3 / 5_000
    bursts_daily: float = 30 / 5_000
    label_delay: timedelta = timedelta(days=7)
    genuine_labelled_share: float = 0.002
    rhythm: change.Rhythm = change.STEADY
    drifts: tuple[change.Drift, ...] = ()


class Simulator:
    """One stream of payments in event-time order, and the labels that follow it."""

    def __init__(self, config: SimulatorConfig) -> None:
        """Draw the world; the payments are drawn as they are asked for."""
        self._config = config
        self._chance = Chance(config.seed)
        self._world = draw_world(
            self._chance.generator(Stream.WORLD, 0), cards=config.cards, merchants=config.merchants
        )
        self._new_pattern_from: datetime | None = None
        self._labels: deque[Label] = deque()
        self._payments = self._stream()

    @property
    def world(self) -> World:
        """The cards and merchants."""
        return self._world

    def payments(self) -> Iterator[SimulatedPayment]:
        """Return the stream, which never ends; every call returns the same one, wherever it is now."""
        return self._payments

    def labels_due(self, until: datetime) -> list[Label]:
        """Take the labels, of payments streamed so far, that became known up to `until`; each is given once."""
        due: list[Label] = []
        while self._labels and self._labels[0].occurred_at <= until:
            due.append(self._labels.popleft())
        return due

    def start_new_pattern(self, at: datetime) -> None:
        """Let card testing begin: every burst that starts at or after `at` and has not been passed by."""
        self._new_pattern_from = at

    def _stream(self) -> Iterator[SimulatedPayment]:
        for day in itertools.count(self._config.first_day):
            midnight = self._config.start + day * _DAY
            base = self._base(day, midnight)
            tested = self._chance.hit(Stream.BURSTS, day, self._config.cards, self._config.bursts_daily)
            bursts = _bursts(self._world, self._chance.generator(Stream.BURSTS, day), tested)
            columns = Payments(*(np.concatenate(pair) for pair in zip(base, bursts, strict=True)))
            random = self._chance.generator(Stream.NAMES, day)
            count = len(columns.time_ms)
            traces = random.bytes(16 * count).hex()
            labelled = (columns.scenario > 0) | (random.random(count) < self._config.genuine_labelled_share)
            devices = _devices(self._world, columns, random.random(count) < SECOND_DEVICE_PAYMENT_SHARE, day)
            order = np.argsort(columns.time_ms, kind="stable")
            ordered = (column[order].tolist() for column in (*columns, devices, labelled))
            for *row, is_labelled, number in zip(*ordered, order.tolist(), strict=True):
                if row[4] == _CARD_TESTING and not self._new_pattern_on(midnight + timedelta(milliseconds=row[5])):
                    continue
                payment = self._payment(midnight, f"{day}-{number}", traces[32 * number : 32 * number + 32], row)
                if is_labelled:
                    self._labels.append(self._label(payment))
                yield payment

    def _base(self, day: int, midnight: datetime) -> Payments:
        """Return a day's payments without bursts, as drifts and the calendar have them."""
        world, drifts, rhythm = self._world, self._config.drifts, self._config.rhythm
        payments = _ordinary_payments(
            world,
            self._chance.generator(Stream.PAYMENTS, day),
            *self._compromised(day),
            activity=rhythm.payments(midnight.date()),
        )
        factors = rhythm.amounts(midnight.date()) * change.amount_factors(drifts, day, world)
        grown = change.grown(payments, factors, genuine_cents_max=LARGE_AMOUNT_CENTS)
        random = self._chance.generator(Stream.DISGUISES, day)
        return change.disguised(grown, drifts, day, world, random, scenario=_SCENARIOS.index(Scenario.DISGUISED))

    def _payment(self, midnight: datetime, number: str, trace_id: str, row: list[int]) -> SimulatedPayment:
        time_ms, card, merchant, amount_cents, scenario, _, device = row
        world = self._world
        occurred_at = midnight + timedelta(milliseconds=time_ms)
        transaction_id = f"payment-{self._config.seed}-{number}"
        transaction = Transaction(
            event_id=derived_event_id(occurred_at, "simulated", transaction_id),
            occurred_at=occurred_at,
            trace_id=trace_id,
            transaction_id=transaction_id,
            card_id=world.card_ids[card],
            merchant_id=world.merchant_ids[merchant],
            device_id=f"device-{device:05d}" if device != _NO_DEVICE else None,
            user_id=world.user_ids[card],
            amount=amount_cents,
            currency=CURRENCY,
            channel=world.channels[merchant],
            country=world.countries[merchant],
            mcc=world.categories[merchant],
        )
        return SimulatedPayment(transaction, scenario > 0, _SCENARIOS[scenario])

    def _label(self, payment: SimulatedPayment) -> Label:
        transaction = payment.transaction
        known_at = transaction.occurred_at + self._config.label_delay
        return Label(
            event_id=derived_event_id(known_at, "simulated-label", transaction.transaction_id),
            occurred_at=known_at,
            trace_id=transaction.trace_id,
            transaction_id=transaction.transaction_id,
            card_id=transaction.card_id,
            label="fraud" if payment.is_fraud else "genuine",
            source="chargeback" if payment.is_fraud else "review",
        )

    def _new_pattern_on(self, burst_begun: datetime) -> bool:
        switched_on = self._new_pattern_from is not None and burst_begun >= self._new_pattern_from
        return switched_on or change.has_begun(
            self._config.drifts, "new_pattern", (burst_begun - self._config.start).days
        )

    def _compromised(self, day: int) -> tuple[Integers, Integers]:
        """Return the merchants and the cards that are in the fraudsters' hands on `day`."""
        config = self._config
        merchants = self._fallen(
            Stream.MERCHANTS_COMPROMISED,
            day,
            MERCHANT_COMPROMISED_DAYS,
            config.merchants,
            config.merchants_compromised_daily,
        )
        cards = self._fallen(
            Stream.CARDS_COMPROMISED, day, CARD_COMPROMISED_DAYS, config.cards, config.cards_compromised_daily
        )
        return merchants, cards

    def _fallen(self, stream: Stream, day: int, days: int, population: int, rate: float) -> Integers:
        """Return who fell to fraudsters within `days`; days before the first count, for a steady start."""
        more = change.more_often(self._config.drifts, day)
        window = range(day - days + 1, day + 1)
        usual = [self._chance.hit(stream, earlier, population, rate) for earlier in window]
        extra = [self._chance.hit(stream, earlier, population, rate * more, 2) for earlier in window if more]
        return np.concatenate([*usual, *extra])


def _ordinary_payments(
    world: World,
    random: np.random.Generator,
    merchants_compromised: Integers,
    cards_compromised: Integers,
    *,
    activity: float,
) -> Payments:
    """Return a day of payments as the cards' owners, and the three standing kinds of fraudster, make them.

    activity: how many of them, for as many as there are on most days.
    """
    card = np.repeat(np.arange(len(world.card_ids)), random.poisson(activity * world.payments_a_day_mean))
    seconds = random.normal(_NOON_SECONDS, _TIME_OF_DAY_DEVIATION_SECONDS, len(card))
    within_day = (seconds > 0) & (seconds < _DAY.total_seconds())
    card, seconds = card[within_day], seconds[within_day]
    starts, ends = world.reach_starts[card], world.reach_starts[card + 1]
    merchant = world.reach[starts + (random.random(len(card)) * (ends - starts)).astype(np.int64)]
    amount = np.maximum(1, np.rint(_amounts(world.mean_amount[card], random) * 100)).astype(np.int64)

    scenario = np.where(amount > LARGE_AMOUNT_CENTS, _SCENARIOS.index(Scenario.LARGE_AMOUNT), 0)
    scenario[np.isin(merchant, merchants_compromised)] = _SCENARIOS.index(Scenario.COMPROMISED_MERCHANT)
    misused = np.isin(card, cards_compromised) & (random.random(len(card)) < COMPROMISED_CARD_FRAUD_SHARE)
    amount[misused] *= COMPROMISED_CARD_AMOUNT_FACTOR
    scenario[misused] = _COMPROMISED_CARD
    time_ms = (seconds * 1000).astype(np.int64)
    return Payments(time_ms, card, merchant, amount, scenario, np.zeros_like(card))


def _amounts(mean: Floats, random: np.random.Generator) -> Floats:
    """Return one amount for each mean, in major units, never negative."""
    amounts = random.normal(mean, mean / 2)
    return np.where(amounts < 0, random.uniform(0, 2 * mean), amounts)


def _bursts(world: World, random: np.random.Generator, cards: Integers) -> Payments:
    """Return one burst of card testing for each of `cards`: many small payments within an hour, anywhere."""
    counts = random.integers(BURST_PAYMENTS[0], BURST_PAYMENTS[1] + 1, len(cards))
    hour_ms, day_ms = BURST_SECONDS * 1000, int(_DAY.total_seconds()) * 1000
    begun_ms = np.repeat(random.integers(0, day_ms - hour_ms, len(cards)), counts)
    total = len(begun_ms)
    return Payments(
        time_ms=begun_ms + random.integers(0, hour_ms, total),
        card=np.repeat(cards, counts),
        merchant=random.integers(len(world.merchant_ids), size=total),
        amount_cents=random.integers(BURST_AMOUNT_CENTS[0], BURST_AMOUNT_CENTS[1] + 1, total),
        scenario=np.full(total, _CARD_TESTING),
        burst_begun_ms=begun_ms,
    )


def _devices(world: World, payments: Payments, from_second_device: Flags, day: int) -> Integers:
    """Return the number of the device that each payment comes from, or _NO_DEVICE."""
    cards = len(world.card_ids)
    own = 2 * payments.card + (from_second_device & world.has_second_device[payments.card])
    fraudsters = max(1, round(cards * FRAUDSTERS_PER_CARD))
    # Numbered on from the owners' devices, so that no name tells who holds it.
    fraudsters_device = 2 * cards + day // FRAUDSTER_DEVICE_DAYS * fraudsters + payments.card % fraudsters
    device = np.where(payments.scenario == _COMPROMISED_CARD, fraudsters_device, own)
    device[~world.online[payments.merchant] | (payments.scenario == _CARD_TESTING)] = _NO_DEVICE
    return device
