"""The payments and the windows that every peer computes. Standard library only: it runs in the peers' environment too.

Payments come in order of event time, each once, none late, no two in the same millisecond: the easiest stream there
is. Most peers count on that, and would be wrong or slower without it.
"""

import itertools
import math
import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

DAYS = 30
START_MS = 1_767_225_600_000
"""2026-01-01, in milliseconds since 1970."""
PAYMENTS_PER_CARD = 40
PAYMENTS_PER_MERCHANT = 200
PAYMENTS_PER_DEVICE = 50
PAYMENTS = 5_000 * PAYMENTS_PER_CARD
COMPARED = 100
"""The vectors of this many last payments are compared between the peers."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_ZIPF_EXPONENT = 0.8
_OWN_DEVICE_SHARE = 0.9
_REPEAT_SHARE = 0.25
_REPEAT_WITHIN_PAYMENTS = 300

Aggregates = tuple[Literal["count", "sum", "mean", "max"], ...]
Vector = list[float]


class Payment(NamedTuple):
    """One payment: its place in the stream, milliseconds since 1970, whole cents."""

    number: int
    at_ms: int
    card: str
    merchant: str
    device: str
    amount_cents: int


class EntityWindows(NamedTuple):
    """What is computed for one kind of entity: every aggregate of the amount, over every window."""

    entity: Literal["card", "merchant", "device"]
    windows_ms: tuple[int, ...]
    aggregates: Aggregates


WINDOWS = (
    EntityWindows("card", (_HOUR_MS, _DAY_MS, 7 * _DAY_MS, 30 * _DAY_MS), ("count", "sum", "max")),
    EntityWindows("merchant", (_HOUR_MS, _DAY_MS, 7 * _DAY_MS), ("count", "mean")),
    EntityWindows("device", (_DAY_MS, 7 * _DAY_MS), ("count",)),
)
"""A vector holds them in this order: entity, then window, then aggregate. A window is (t - w, t], current included."""


class PeerResult(NamedTuple):
    """One run: how long all payments took, and the last COMPARED vectors.

    The designs on a server also tell what one payment costs its caller, in microseconds.
    """

    payments: int
    seconds: float
    vectors: list[Vector]
    p50_us: float | None = None
    p99_us: float | None = None

    @property
    def payments_per_second(self) -> float:
        return self.payments / self.seconds


class Workload(NamedTuple):
    """A seeded stream of 30 days; fewer payments mean fewer entities, each as busy as before."""

    size: int = PAYMENTS
    seed: int = 7

    def payments(self) -> Sequence[Payment]:
        """Return the payments, in order of event time."""
        source = random.Random(self.seed)
        cards, devices = (max(1, self.size // each) for each in (PAYMENTS_PER_CARD, PAYMENTS_PER_DEVICE))
        chosen: list[int] = []
        for _ in range(self.size):
            recent = chosen[-_REPEAT_WITHIN_PAYMENTS:] if source.random() < _REPEAT_SHARE else []
            chosen.append(source.choice(recent) if recent else source.randrange(cards))
        return [
            Payment(number, at_ms, f"card{card}", f"merchant{merchant}", f"device{device}", _amount_cents(source))
            for number, (at_ms, card, merchant, device) in enumerate(
                zip(
                    self._times_ms(source),
                    chosen,
                    self._merchants(source),
                    (
                        card % devices if source.random() < _OWN_DEVICE_SHARE else source.randrange(devices)
                        for card in chosen
                    ),
                    strict=True,
                )
            )
        ]

    def _times_ms(self, source: random.Random) -> list[int]:
        drawn = sorted(source.randrange(DAYS * _DAY_MS) for _ in range(self.size))
        return list(itertools.accumulate((START_MS + at for at in drawn), lambda before, at: max(before + 1, at)))

    def _merchants(self, source: random.Random) -> list[int]:
        merchants = range(max(1, self.size // PAYMENTS_PER_MERCHANT))
        weights = [(rank + 1) ** -_ZIPF_EXPONENT for rank in merchants]
        return source.choices(merchants, weights, k=self.size)


def _amount_cents(source: random.Random) -> int:
    return math.ceil(source.lognormvariate(8.0, 1.0))
