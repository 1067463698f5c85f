"""Transactions: the producer that makes them, and waiting for their steps."""

from typing import Any

import kafka
import kafka.errors

from shared.bus.base import DEAD_LETTER_BYTES_MAX
from shared.bus.kafka.connection import REQUEST_TIMEOUT_MS, TRANSACTION_RETRY_BACKOFF_MS, TRANSACTION_TIMEOUT_MS


def transactional_producer(connection: dict[str, Any], transactional_id: str) -> Any:
    """Return a producer that `init_transactions` will make the only one under `transactional_id`."""
    return kafka.KafkaProducer(
        **connection,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        retry_backoff_ms=TRANSACTION_RETRY_BACKOFF_MS,
        delivery_timeout_ms=REQUEST_TIMEOUT_MS * 2,
        max_request_size=DEAD_LETTER_BYTES_MAX,
        max_block_ms=REQUEST_TIMEOUT_MS * 2,
        linger_ms=2,
    )


def finish_step(producer: Any, result: Any) -> None:
    """Wait for one step of a transaction; the client's own calls would wait for an absent broker without end.

    Raises:
        KafkaError: the step failed, or was not answered in time.
    """
    producer._sender.wakeup()
    if not result.wait(REQUEST_TIMEOUT_MS):
        raise kafka.errors.KafkaTimeoutError(f"no answer to a transaction within {REQUEST_TIMEOUT_MS} ms")
