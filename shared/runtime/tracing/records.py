"""Records as spans: when they are written for the first time, and when a loop works on them."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from shared.bus.base import Outgoing, Record
from shared.runtime.tracing.acting import Acting, Value, acting
from shared.runtime.tracing.context import context_in, headers_of

if TYPE_CHECKING:
    from shared.runtime.tracing.spans import Traced, Tracing


class Reader(NamedTuple):
    """Who reads: a consumer group, and the name of its member."""

    group: str
    instance: str


def going_on(
    records: Sequence[Record], tracing: "Tracing | None", reader: Reader
) -> "tuple[Sequence[Record], tuple[Traced, ...]]":
    """Return `records`, and the spans that begin with them.

    The headers of each record are then what its answers are to carry: the context of its span; the context it came
    with, where that has none; nothing else, so they stay small whatever a producer has written.
    """
    if not any(record.headers for record in records):
        return records, ()
    passing, spans = [], []
    for record in records:
        context = context_in(record.headers)
        if context is None:
            passing.append(record._replace(headers=()))
        elif tracing is None or not context.is_sampled:
            passing.append(record._replace(headers=headers_of(context)))
        else:
            attributes = _read(record, reader, batch_records=len(records))
            span = tracing.go_on(f"process {record.topic}", "consumer", attributes, context)
            spans.append(span)
            passing.append(record._replace(headers=span.headers))
    return passing, tuple(spans)


def _read(record: Record, reader: Reader, *, batch_records: int) -> dict[str, Value]:
    """Return what OpenTelemetry's conventions for messaging ask of a consumer's span."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.consumer.group.name": reader.group,
        "messaging.client.id": reader.instance,
        "messaging.batch.message_count": batch_records,
    }


@contextlib.contextmanager
def sending(records: Sequence[Outgoing], trace_ids: Sequence[str], tracing: "Tracing") -> Iterator[list[Outgoing]]:
    """Give `records` with the context of the spans that they are, those of them whose trace is sampled.

    trace_ids: of their events. An event of the call's own trace goes on with it; another one begins its own, linked to
    the call: a batch of a thousand payments is not one trace.
    """
    now = acting()
    spans = [_sent(record.topic, trace_id, now, tracing) for record, trace_id in zip(records, trace_ids, strict=True)]
    begun = [span for span in spans if span is not None]
    try:
        yield [
            record if span is None else record._replace(headers=span.headers)
            for record, span in zip(records, spans, strict=True)
        ]
    except BaseException as error:
        for span in begun:
            span.fail(error)
        raise
    finally:
        for span in begun:
            span.end()


def _sent(topic: str, trace_id: str, now: Acting, tracing: "Tracing") -> "Traced | None":
    name = f"send {topic}"
    attributes = {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": topic,
    }
    call = now.spans[0] if now.spans else None
    if trace_id == now.trace_id:
        return call.child(name, "producer", attributes) if call else None
    if tracing.samples(trace_id):
        return tracing.begin(name, "producer", attributes, trace_id, link=call)
    return None
