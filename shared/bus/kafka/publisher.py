"""Writing to Kafka, record by record."""

from concurrent.futures import Future
from functools import partial
from typing import Any

import kafka

from shared.bus.base import DEAD_LETTER_BYTES_MAX, BusUnavailableError, Outgoing, within_bounds
from shared.bus.kafka.connection import CONNECT_TIMEOUT_MS, REQUEST_TIMEOUT_MS, close_producer, translated
from shared.runtime import metrics

_COUNT_UNACKNOWLEDGED = metrics.KAFKA_ERRORS.labels("unacknowledged")


class KafkaPublisher:
    """An idempotent producer; the client batches and retries."""

    def __init__(self, connection: dict[str, Any]) -> None:
        self._connection = connection
        self._producer: Any = None
        self.closed = False

    def send(self, outgoing: Outgoing) -> "Future[None]":
        if self._producer is None:
            self._producer = translated(
                lambda: kafka.KafkaProducer(
                    **self._connection,
                    acks="all",
                    linger_ms=2,
                    enable_idempotence=True,
                    max_request_size=DEAD_LETTER_BYTES_MAX,
                    delivery_timeout_ms=REQUEST_TIMEOUT_MS * 2,
                    max_block_ms=CONNECT_TIMEOUT_MS,
                    metrics_enabled=False,
                )
            )
        acknowledged: Future[None] = Future()
        topic, key, value, produced_ms, headers = outgoing
        own = list(within_bounds(headers)) if headers else None
        sent = translated(lambda: self._producer.send(topic, value, key, own, timestamp_ms=produced_ms))
        sent.add_callback(lambda _: acknowledged.set_result(None))
        sent.add_errback(partial(_fail, acknowledged))
        return acknowledged

    def close(self) -> None:
        self.closed = True
        if self._producer is not None:
            close_producer(self._producer, seconds=REQUEST_TIMEOUT_MS / 1000)


def _fail(acknowledged: "Future[None]", error: BaseException) -> None:
    _COUNT_UNACKNOWLEDGED.inc()
    acknowledged.set_exception(BusUnavailableError(f"Kafka did not acknowledge: {error!r}"))
