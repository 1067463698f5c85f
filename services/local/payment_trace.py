"""One payment's way: what the log and the services' own lines say about it, by any of its ids."""

import contextlib
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from shared.bus.base import Bus, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import DeadLetter, Decision, Event, FeatureVector, Label, ShadowScore, Transaction
from shared.contracts.topics import BY_NAME, DEAD_LETTER_SUFFIX, FEATURES, LABELS, SCORES, SHADOWS, TRANSACTIONS

_TOPICS = (TRANSACTIONS, FEATURES, SCORES, SHADOWS, LABELS)
_POLL_SECONDS = 0.2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENVELOPE = {"time", "level", "service", "logger", "message", "exception", "trace_id"}
# Shorter ones may be a word of any message.
_ID_CHARACTERS_MIN = 16
_TOLD_CHARACTERS_MAX = 2_000


class Seen(NamedTuple):
    """One thing that was said of a payment.

    step: how far on the payment's way, to order what carries the same time. where: a topic with partition and offset,
    or a service. is_timed: whether `at` is when this was said; a vector and a decision carry the payment's time.
    """

    at: datetime
    step: int
    where: str
    told: str
    is_timed: bool = True
    is_grave: bool = False


class Found(NamedTuple):
    """A record that speaks of a payment, and its event."""

    record: Record
    event: Event


def on_the_log(bus: Bus, wanted: str, *, since: datetime) -> list[Found]:
    """Return what topics hold of one payment, in no order.

    wanted: its trace, payment or decision id. since: the oldest time of production that is looked at.

    Raises:
        BusUnavailableError: the log does not answer.
    """
    first = list(_about(bus, {wanted}, since))
    # The payment is what all of them name: a decision has an id of its own, a label even another trace.
    payments = set().union(*(_payment(found.event) for found in first)) - {wanted}
    second = _about(bus, payments, since) if payments else ()
    return list({_place(found): found for found in (*first, *second)}.values())


def ids_of(found: Iterable[Found]) -> set[str]:
    """Return every id under which services may speak of the payment."""
    # A trace may be that of many labels.
    return set().union(*(_ids(each.event) for each in found if not isinstance(each.event, Label)))


def told_of(found: Found) -> Seen:
    """Return what a record says, in a line."""
    record = found.record
    at = _EPOCH + timedelta(milliseconds=record.produced_ms)
    topics = [topic.name for topic in _TOPICS]
    return Seen(
        at,
        step=topics.index(record.topic) if record.topic in topics else len(topics),
        where=f"{record.topic} {record.partition}/{record.offset}",
        told=_told(found.event),
        is_timed=not isinstance(found.event, FeatureVector | Decision | ShadowScore),
        is_grave=isinstance(found.event, DeadLetter),
    )


def in_logs(lines: Iterable[str], ids: Collection[str]) -> Iterator[Seen]:
    """Yield the lines of services that speak of one of `ids`, in whatever stands around the JSON, as a pod's name."""
    for line in lines:
        start = line.find("{")
        if start < 0 or not any(each in line for each in ids):
            continue
        with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError, ValueError):
            fields = msgspec.json.decode(line[start:].encode())
            if _speaks_of(fields, ids):
                yield _seen(fields)


def _about(bus: Bus, ids: Collection[str], since: datetime) -> Iterator[Found]:
    names = [name for topic in _TOPICS for name in (topic.name, topic.dead_letter_name)]
    searched = [f'"{each}"'.encode() for each in ids]
    with contextlib.closing(bus.tail([name for name in names if _exists(name)], start=since)) as tail:
        while not tail.caught_up():
            for record in tail.poll(wait_seconds=_POLL_SECONDS):
                value = record.value or b""
                # What was rejected stands in its dead letter in base64.
                if record.topic not in BY_NAME or any(each in value for each in searched):
                    yield from _matching(record, value, ids)


def _exists(name: str) -> bool:
    return name in BY_NAME or bool(BY_NAME[name.removesuffix(DEAD_LETTER_SUFFIX)].read_by)


def _matching(record: Record, value: bytes, ids: Collection[str]) -> Iterator[Found]:
    event_type = BY_NAME[record.topic].event if record.topic in BY_NAME else DeadLetter
    with contextlib.suppress(BadRecordError):
        event = codec.decode(event_type, value)
        rejected = event.value or b"" if isinstance(event, DeadLetter) else b""
        if _ids(event) & set(ids) or any(f'"{each}"'.encode() in rejected for each in ids):
            yield Found(record, event)


def _ids(event: Event) -> set[str]:
    found = {event.event_id, event.trace_id} | _payment(event)
    match event:
        case FeatureVector():
            found.add(event.transaction.event_id)
        case ShadowScore():
            found.add(event.decision_id)
    return found


def _payment(event: Event) -> set[str]:
    match event:
        case FeatureVector():
            return {event.transaction.transaction_id}
        case Transaction() | Decision() | ShadowScore() | Label():
            return {event.transaction_id}
        case _:
            return set()


def _place(found: Found) -> tuple[str, int, int]:
    return found.record.topic, found.record.partition, found.record.offset


def _told(event: Event) -> str:
    match event:
        case Transaction():
            amount = f"{event.amount:,} {event.currency} minor units"
            return f"payment {event.transaction_id}: {amount}, card {event.card_id} at {event.merchant_id}"
        case FeatureVector():
            age = event.freshness.state_age_seconds
            state = "state out of reach" if age is None else f"state {age:.3f} s behind the log"
            return f"{len(event.values)} features, {state}{_degraded(event.degraded)}"
        case Decision():
            score = "no score" if event.score is None else f"score {event.score:.4f}"
            by = f"{event.model_name} {event.model_version} ({event.model_role}), policy {event.policy_version}"
            reasons = "".join(f"; {reason.text}" for reason in event.reasons)
            return f"{event.decision}, {score} by {by}{_degraded(event.degraded)}{reasons} [{event.event_id}]"
        case ShadowScore():
            score = "no score" if event.score is None else f"score {event.score:.4f}"
            return f"{event.model_name} {event.model_version} as challenger: {event.decision}, {score}"
        case Label():
            return f"label {event.label} by {event.source}"
        case DeadLetter():
            return f"rejected by {event.service}: {event.error}: {event.explanation}"
        case _:
            raise TypeError(f"no payment's way leads over a {type(event).__name__}")


def _degraded(what: Collection[str]) -> str:
    return f", degraded: {', '.join(what)}" if what else ""


def _speaks_of(fields: dict[str, Any], ids: Collection[str]) -> bool:
    said = f"{fields['message']} {fields.get('exception', '')}"
    return bool(set(map(str, fields.values())) & set(ids)) or any(
        each in said for each in ids if len(each) >= _ID_CHARACTERS_MIN
    )


def _seen(fields: dict[str, Any]) -> Seen:
    more = "".join(f" {name}={value}" for name, value in fields.items() if name not in _ENVELOPE)
    exception = f"\n{fields['exception']}" if "exception" in fields else ""
    return Seen(
        datetime.fromisoformat(fields["time"]),
        step=len(_TOPICS),
        where=fields["service"],
        told=f"{fields['level']}: {fields['message']}{more}{exception}"[:_TOLD_CHARACTERS_MAX],
        is_grave=fields["level"] in {"warning", "error", "critical"},
    )
