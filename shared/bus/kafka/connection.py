"""What every client of the cluster shares: time limits, and errors turned into the port's."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import kafka.errors
import kafka.structs

from shared.bus.base import BusUnavailableError, FencedError, Headers, Record
from shared.runtime import metrics

T = TypeVar("T")

SESSION_TIMEOUT_MS = 10_000
TRANSACTION_TIMEOUT_MS = 15_000
REQUEST_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_MS = 5_000

_FENCED = (
    kafka.errors.CommitFailedError,
    kafka.errors.FencedInstanceIdError,
    kafka.errors.IllegalGenerationError,
    kafka.errors.InvalidProducerEpochError,
    # To who commits while somebody else's taking over is under way: the transaction was aborted already (KIP-890).
    kafka.errors.InvalidTxnStateError,
    kafka.errors.ProducerFencedError,
    kafka.errors.RebalanceInProgressError,
    kafka.errors.UnknownMemberIdError,
)


_COUNT_FENCED = metrics.KAFKA_ERRORS.labels("fenced")
_COUNT_AWAY = metrics.KAFKA_ERRORS.labels("away")


def translated(call: Callable[[], T]) -> T:
    """Run `call`, with the client's errors turned into the port's."""
    try:
        return call()
    except _FENCED as error:
        _COUNT_FENCED.inc()
        raise FencedError(f"somebody else took over: {error}") from error
    except (kafka.errors.KafkaError, OSError) as error:
        _COUNT_AWAY.inc()
        raise BusUnavailableError(f"Kafka does not answer: {error!r}") from error


def partitions_of(consumer: Any, topics: Sequence[str]) -> list[Any]:
    """Return every partition of `topics`; raises BusUnavailableError when one does not exist."""
    places: list[Any] = []
    for topic in topics:
        found = consumer.partitions_for_topic(topic)
        if not found:
            raise BusUnavailableError(f"topic {topic} does not exist; run `headrace topics --create`")
        places += [kafka.structs.TopicPartition(topic, partition) for partition in sorted(found)]
    return places


def records_of(batch: Iterable[Any]) -> list[Record]:
    """Return the client's records of one partition as the port's."""
    return [
        Record(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp, _headers(r.headers) if r.headers else ())
        for r in batch
    ]


def _headers(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    return tuple((name, value or b"") for name, value in headers)


def position_of(consumer: Any, place: Any) -> int:
    """Return the offset of the next record to read; raises BusUnavailableError, also where a transaction hides it."""
    offset = translated(lambda: consumer.position(place, timeout_ms=REQUEST_TIMEOUT_MS))
    if offset is None:
        # Without a time limit the client asks for ever: the group's progress lies behind a transaction that has no end.
        raise BusUnavailableError(
            f"Kafka does not tell where to read on in {place.topic}/{place.partition} within "
            f"{REQUEST_TIMEOUT_MS // 1000} s; if that lasts, see `kafka-transactions.sh find-hanging`"
        )
    return int(offset)


def close_producer(producer: Any, *, seconds: float) -> None:
    """Close a producer within about `seconds`; the futures of what it has not delivered by then fail."""
    try:
        producer.close(timeout=seconds)
    except kafka.errors.KafkaError:
        producer._sender.force_close()
