"""Payments with what was decided about them and what they turned out to be, in bounded memory."""

import zlib
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from services.drift.settings import DriftSettings
from shared.contracts.events import Decision, Label, LabelValue

LATEST_TIMES = 21
_HASHES = 1 << 32
_DAY_SECONDS = 86_400
_BUCKET_SECONDS_MAX = 3_600

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Payment:
    """A payment whose vector and decision are both known; `label` changes with what becomes known.

    at: event time. flagged: reviewed or declined. places: the segments it is in (services/drift/data/segments.py).
    amount: minor units. labelled_at: when the label in force became known. is_mature: the label delay is over.
    """

    transaction_id: str
    card_id: str
    version: int
    at: datetime
    score: float | None
    flagged: bool
    places: tuple[int, ...]
    amount: int
    label: LabelValue | None = None
    labelled_at: datetime | None = None
    is_mature: bool = False


class Labelled(NamedTuple):
    """What a label has changed."""

    payment: Payment
    before: LabelValue | None
    after: LabelValue


class _Seen(NamedTuple):
    at: datetime
    places: tuple[int, ...]
    amount: int


class _Decided(NamedTuple):
    card_id: str
    version: int
    score: float | None
    flagged: bool


class _Known(NamedTuple):
    label: LabelValue
    at: datetime


class EventTime:
    """How far event time has come: the median of the latest payments' times.

    A few payments with a wrong date move nothing; a jump of the whole stream is followed, forth and back.
    """

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=LATEST_TIMES)

    def observe(self, at: datetime) -> None:
        """Take in a payment's time."""
        self._latest.append(at.timestamp())

    @property
    def now_seconds(self) -> float | None:
        """Seconds since the epoch; None before the first payment."""
        return sorted(self._latest)[(len(self._latest) - 1) // 2] if self._latest else None


class Payments:
    """Joins vectors, decisions and labels, in whatever order they come; what comes twice changes nothing.

    Where more payments wait for their labels than fit, a sample drawn by the payment's id is kept, half as large as
    before each time that it is full: what is kept stays representative. Payments whose label delay is over stay as long
    as there is room, for labels that come later.

    contradictions: labels that took back another. unmatched_labels: given up since no payment came for them, or it was
    forgotten. unjoined: vectors without a decision, or decisions without a vector, given up. misdated: payments
    forgotten since they were dated ahead of all others.
    """

    def __init__(self, remembered_max: int, label_delay: timedelta) -> None:
        """Start empty; remembered_max: payments, and a quarter as many of each half that waits for the other."""
        self._remembered_max = remembered_max
        self._waiting_max = max(1, remembered_max // 4)
        self._delay_seconds = label_delay.total_seconds()
        self._bucket_seconds = min(max(self._delay_seconds / 100, 1.0), _BUCKET_SECONDS_MAX)
        self._time = EventTime()
        self._hashes_kept = _HASHES
        self._payments: dict[str, Payment] = {}
        self._buckets: dict[int, list[Payment]] = {}
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._decided: OrderedDict[str, _Decided] = OrderedDict()
        self._early_labels: OrderedDict[str, _Known] = OrderedDict()
        self.contradictions = 0
        self.unmatched_labels = 0
        self.unjoined = 0
        self.misdated = 0

    @property
    def sampled_share(self) -> float:
        """Share of new payments that is kept."""
        return self._hashes_kept / _HASHES

    def vector(self, transaction_id: str, at: datetime, places: tuple[int, ...], amount: int) -> Payment | None:
        """Take in a payment's features; return it if its decision is known too, the first time only.

        The label may be known already.
        """
        self._time.observe(at)
        if transaction_id in self._payments or not self._is_kept(transaction_id):
            return None
        seen = _Seen(at, places, amount)
        decided = self._decided.pop(transaction_id, None)
        if decided is None:
            self.unjoined += self._wait(self._seen, transaction_id, seen)
            return None
        return self._join(transaction_id, seen, decided)

    def decision(self, decision: Decision) -> Payment | None:
        """Take in what was decided; return the payment if its features are known too, the first time only."""
        transaction_id = decision.transaction_id
        if transaction_id in self._payments or not self._is_kept(transaction_id):
            return None
        decided = _Decided(
            decision.card_id, decision.model_version, decision.score, flagged=decision.decision != "approve"
        )
        seen = self._seen.pop(transaction_id, None)
        if seen is None:
            self.unjoined += self._wait(self._decided, transaction_id, decided)
            return None
        return self._join(transaction_id, seen, decided)

    def label(self, label: Label) -> Labelled | None:
        """Take in a label; return what it changed, or None: of labels the one that became known last holds."""
        known = _Known(label.label, label.occurred_at)
        payment = self._payments.get(label.transaction_id)
        if payment is not None:
            return self._apply(payment, known)
        if self._is_kept(label.transaction_id):
            early = self._early_labels.get(label.transaction_id)
            if early is None or early.at <= known.at:
                self.contradictions += early is not None and early.label != known.label
                self.unmatched_labels += self._wait(self._early_labels, label.transaction_id, known)
        return None

    def matured(self) -> list[Payment]:
        """Return the payments whose label delay is over by now, by event time, in their order; each once."""
        now_seconds = self._time.now_seconds
        if now_seconds is None:
            return []
        due = int((now_seconds - self._delay_seconds) // self._bucket_seconds)
        matured = []
        for bucket in sorted(bucket for bucket in self._buckets if bucket < due):
            matured += sorted(self._buckets.pop(bucket), key=lambda payment: payment.at)
        for payment in matured:
            payment.is_mature = True
        return matured

    def _join(self, transaction_id: str, seen: _Seen, decided: _Decided) -> Payment:
        payment = Payment(
            transaction_id, decided.card_id, decided.version, seen.at, decided.score, decided.flagged, *seen[1:]
        )
        known = self._early_labels.pop(transaction_id, None)
        if known is not None:
            payment.label, payment.labelled_at = known
        self._payments[transaction_id] = payment
        self._buckets.setdefault(int(seen.at.timestamp() // self._bucket_seconds), []).append(payment)
        if len(self._payments) > self._remembered_max:
            self._make_room()
        return payment

    def _apply(self, payment: Payment, known: _Known) -> Labelled | None:
        if payment.labelled_at is not None and known.at < payment.labelled_at:
            return None
        before = payment.label
        payment.label, payment.labelled_at = known
        if before == known.label:
            return None
        self.contradictions += before is not None
        return Labelled(payment, before, known.label)

    def _wait(self, waiting: OrderedDict[str, T], transaction_id: str, half: T) -> int:
        """Keep a half; return how many were given up for it."""
        waiting[transaction_id] = half
        if len(waiting) <= self._waiting_max:
            return 0
        waiting.popitem(last=False)
        return 1

    def _make_room(self) -> None:
        """Forget the older half of those whose label delay is over; then misdated ones; then every other one."""
        mature = [payment.transaction_id for payment in self._payments.values() if payment.is_mature]
        waiting = len(self._payments) - len(mature)
        self._forget(dict.fromkeys(mature[: (len(mature) + 1) // 2]))
        is_crowded = 4 * waiting > 3 * self._remembered_max
        if is_crowded:
            ahead_seconds = (self._time.now_seconds or 0.0) + _DAY_SECONDS
            ahead = {of: None for of, payment in self._payments.items() if payment.at.timestamp() > ahead_seconds}
            self.misdated += len(ahead)
            self._forget(ahead)
            is_crowded = 4 * (waiting - len(ahead)) > 3 * self._remembered_max
        if is_crowded:
            self._hashes_kept //= 2
            self._forget({of: None for of in self._payments if not self._is_kept(of)})
        elif 4 * waiting < self._remembered_max:
            self._hashes_kept = min(2 * self._hashes_kept, _HASHES)

    def _forget(self, transaction_ids: Mapping[str, Any]) -> None:
        self._payments = {of: payment for of, payment in self._payments.items() if of not in transaction_ids}
        self._buckets = {
            bucket: kept
            for bucket, payments in self._buckets.items()
            if (kept := [payment for payment in payments if payment.transaction_id not in transaction_ids])
        }

    def _is_kept(self, transaction_id: str) -> bool:
        return zlib.crc32(transaction_id.encode()) < self._hashes_kept


def payments_of(settings: DriftSettings) -> Payments:
    """Return a memory for payments as large as set, with nothing in it."""
    label_delay = timedelta(days=settings.headrace_drift_label_delay_days)
    return Payments(settings.headrace_drift_payments_remembered, label_delay)
