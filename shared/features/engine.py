"""From payments to vectors, without I/O: what to append and read, and what the bytes that come back mean.

The features service and the scoring service's REST path both go through here.
"""

from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.contracts.events import Label, Transaction
from shared.features.definitions import Aggregation, Entity, FeatureSet, RowFeature, RowFunction, WindowFeature
from shared.features.state import (
    COLUMNS,
    EVENT,
    LABEL_ORIGINS_FROM,
    ORIGIN,
    OTHER,
    RECORD_BYTES,
    SUBJECT,
    TIME,
    Records,
    entity_key,
    identity,
    label_record,
    microseconds,
    payment_record,
    records_of,
)
from shared.features.windows import Aggregates, Slots, aggregate

_NIGHT_ENDS_HOUR = 6
_SATURDAY = 5
_COMPACTION_SLACK = 1.25
"""A state is rewritten when its first record is this many horizons older than its last."""
_COMPACTED_SHARE_MAX = 0.9
"""What would shrink by less than a tenth is left as it is."""
_COMPACTION_BYTES_MIN = 2048
"""A smaller state is left as it is."""


class Arrival(NamedTuple):
    """A payment and where it came from (see state.log_origin, state.REST_ORIGIN)."""

    payment: Transaction
    origin: int


class Plan(NamedTuple):
    """What the store must do for a batch of arrivals: append, then return the values of `reads`."""

    arrivals: Sequence[Arrival]
    appends: list[tuple[str, bytes]]
    reads: list[str]


class Vectors(NamedTuple):
    """The answer to a batch of n arrivals.

    values: shape (n, features), float64, amounts in minor units.
    fresh: shape (n,): False where the log had delivered the payment before, at another place.
    late: shape (n,): True where the card had a newer payment already.
    labelled: shape (n,): True where a label arrived before its payment.
    """

    values: npt.NDArray[np.float64]
    fresh: npt.NDArray[np.bool_]
    late: npt.NDArray[np.bool_]
    labelled: npt.NDArray[np.bool_]


class FeatureEngine:
    """Computes one feature set."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self.feature_set = feature_set
        self._horizon_us = feature_set.horizon // timedelta(microseconds=1)
        self.state_lifetime = feature_set.horizon * _COMPACTION_SLACK
        self._windows = {
            entity: list(
                dict.fromkeys(
                    (feature.window, feature.delay)
                    for feature in feature_set.features
                    if isinstance(feature, WindowFeature) and feature.entity is entity
                )
            )
            for entity in Entity
        }
        self._slots = {entity: _slots(windows) for entity, windows in self._windows.items()}
        # Compiles the kernel now, or loads it from numba's cache, rather than under the first payment.
        nothing = np.zeros(0, dtype=np.int64)
        for slots in self._slots.values():
            aggregate(np.zeros((0, COLUMNS), dtype=np.int64), nothing, nothing, nothing, nothing, slots)

    def plan(self, arrivals: Sequence[Arrival]) -> Plan:
        """Return what to append and read for `arrivals`, which are in order of arrival."""
        appends: list[tuple[str, bytes]] = []
        for payment, origin in arrivals:
            card, merchant = identity(payment.card_id), identity(payment.merchant_id)
            appends.append((entity_key(Entity.CARD, card), payment_record(payment, origin=origin, other=merchant)))
            appends.append((entity_key(Entity.MERCHANT, merchant), payment_record(payment, origin=origin, other=card)))
        return Plan(arrivals, appends, list(dict.fromkeys(key for key, _ in appends)))

    def vectors(self, plan: Plan, values: Sequence[bytes]) -> Vectors:
        """Return the vectors of a plan's arrivals from the values the store returned for its reads."""
        found = {
            entity: self._aggregates(entity, plan, values, [key for key, _ in plan.appends[at::2]])
            for at, entity in enumerate((Entity.CARD, Entity.MERCHANT))
        }
        columns = [self._column(feature, plan, found) for feature in self.feature_set.features]
        cards = found[Entity.CARD]
        origins = np.array([arrival.origin for arrival in plan.arrivals], dtype=np.int64)
        times = np.array([microseconds(arrival.payment.occurred_at) for arrival in plan.arrivals], dtype=np.int64)
        return Vectors(
            values=np.column_stack(columns),
            fresh=cards.first_origins == origins,
            late=cards.newest_before_us > times,
            labelled=cards.labelled_before > 0,
        )

    def compacted(self, value: bytes) -> bytes | None:
        """Return `value` without what no window reaches any more, or None while it is not worth rewriting."""
        if len(value) < _COMPACTION_BYTES_MIN:
            return None
        oldest, newest = (_record_time_us(value, at) for at in (0, len(value) - RECORD_BYTES))
        if oldest >= newest - self._horizon_us * _COMPACTION_SLACK:
            return None
        records = records_of(value)
        # A label can be dated later than any payment yet; only payments tell how far time has come.
        times = records[records[:, ORIGIN] < LABEL_ORIGINS_FROM, TIME]
        reached = times.max() if len(times) else newest
        _, first = np.unique(records[:, EVENT], return_index=True)
        kept = records[:, TIME] >= reached - self._horizon_us
        kept &= np.isin(np.arange(len(records)), first)
        if kept.sum() > _COMPACTED_SHARE_MAX * len(records):
            return None
        return bytes(records[kept].tobytes())

    def _aggregates(self, entity: Entity, plan: Plan, values: Sequence[bytes], keys: list[str]) -> Aggregates:
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        by_key = dict(zip(plan.reads, values, strict=True))
        states = [records_of(by_key[key]) for key in places]
        return aggregate(
            np.concatenate(states) if states else np.zeros((0, COLUMNS), dtype=np.int64),
            np.cumsum([len(state) for state in states], dtype=np.int64),
            np.array([places[key] for key in keys], dtype=np.int64),
            np.array([identity(arrival.payment.event_id) for arrival in plan.arrivals], dtype=np.int64),
            np.array([microseconds(arrival.payment.occurred_at) for arrival in plan.arrivals], dtype=np.int64),
            self._slots[entity],
        )

    def _column(
        self, feature: RowFeature | WindowFeature, plan: Plan, found: dict[Entity, Aggregates]
    ) -> npt.NDArray[np.float64]:
        if isinstance(feature, RowFeature):
            return np.array([_row_value(feature.function, arrival.payment) for arrival in plan.arrivals])
        slot = self._windows[feature.entity].index((feature.window, feature.delay))
        aggregates = found[feature.entity]
        counts = aggregates.counts[:, slot]
        if feature.aggregation is Aggregation.COUNT:
            return counts.astype(np.float64)
        sums = {Aggregation.MEAN_AMOUNT: aggregates.amounts, Aggregation.FRAUD_RATE: aggregates.frauds}
        return sums[feature.aggregation][:, slot] / np.maximum(counts, 1)


def label_append(label: Label, *, origin: int) -> tuple[str, bytes]:
    """Return the append that tells a label to its payment's card."""
    return entity_key(Entity.CARD, identity(label.card_id)), label_record(label, origin=origin)


def merchants_to_tell(state: bytes, transaction_ids: Sequence[str]) -> list[tuple[str, bytes]]:
    """Return the appends that tell a card's labels of `transaction_ids` to the merchants concerned.

    state: the card's value. A label whose payment has not arrived yet is told when it does.
    """
    records: Records = records_of(state)
    wanted = records[np.isin(records[:, SUBJECT], [identity(text) for text in transaction_ids])]
    is_label = wanted[:, ORIGIN] >= LABEL_ORIGINS_FROM
    merchants = {int(payment[SUBJECT]): int(payment[OTHER]) for payment in wanted[~is_label]}
    return [
        (entity_key(Entity.MERCHANT, merchants[int(label[SUBJECT])]), label.tobytes())
        for label in wanted[is_label]
        if int(label[SUBJECT]) in merchants
    ]


def _record_time_us(value: bytes, at: int) -> int:
    return int.from_bytes(value[at + TIME * 8 : at + TIME * 8 + 8], "little", signed=True)


def _slots(windows: list[tuple[timedelta, timedelta]]) -> Slots:
    microsecond = timedelta(microseconds=1)
    return Slots(
        np.array([window // microsecond for window, _ in windows], dtype=np.int64),
        np.array([delay // microsecond for _, delay in windows], dtype=np.int64),
    )


def _row_value(function: RowFunction, payment: Transaction) -> float:
    if function is RowFunction.AMOUNT:
        return float(payment.amount)
    time = payment.occurred_at.astimezone(UTC)
    if function is RowFunction.WEEKEND:
        return float(time.weekday() >= _SATURDAY)
    return float(time.hour <= _NIGHT_ENDS_HOUR)
