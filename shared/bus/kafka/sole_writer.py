"""Writing to a topic as its only writer: one transactional id a topic, so that the broker fences all but the latest."""

from collections.abc import Sequence
from typing import Any

import kafka.errors

from shared.bus.base import BusUnavailableError, Outgoing
from shared.bus.kafka.connection import REQUEST_TIMEOUT_MS, close_producer, translated
from shared.bus.kafka.transactions import finish_step, transactional_producer


class KafkaSoleWriter:
    """A transactional producer under the topic's own transactional id."""

    def __init__(self, connection: dict[str, Any], topic: str) -> None:
        self._producer = translated(lambda: transactional_producer(connection, f"headrace-{topic}-writer"))
        self.closed = False
        try:
            # Waits until a transaction that another writer has begun is committed or aborted.
            translated(self._producer.init_transactions)
        except BusUnavailableError:
            self.close()
            raise

    def write(self, outgoing: Sequence[Outgoing]) -> None:
        translated(lambda: self._write(outgoing))

    def close(self) -> None:
        self.closed = True
        close_producer(self._producer, seconds=1.0)

    def _write(self, outgoing: Sequence[Outgoing]) -> None:
        producer = self._producer
        transaction = producer._transaction_manager
        try:
            producer.begin_transaction()
            sent = [
                producer.send(topic, value, key, timestamp_ms=produced_ms)
                for topic, key, value, produced_ms in outgoing
            ]
            # Before the commit, which the client calls done for a transaction whose records it has lost to fencing.
            for acknowledged in sent:
                acknowledged.get(timeout=REQUEST_TIMEOUT_MS / 1000)
            finish_step(producer, transaction.begin_commit())
        except kafka.errors.KafkaError as error:
            # The client tells of fencing once, and from then on only that there was an error.
            raise transaction.last_error or error from error
