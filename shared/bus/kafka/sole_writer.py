"""Writing to a topic as its only writer: one transactional id a topic, so that the broker fences all but the latest."""

from collections.abc import Sequence
from typing import Any

from shared.bus.base import Outgoing
from shared.bus.kafka.connection import translated
from shared.bus.kafka.transactions import TransactionalWriter


class KafkaSoleWriter:
    """A writer under the topic's own transactional id."""

    def __init__(self, connection: dict[str, Any], topic: str) -> None:
        # Waits until a transaction that another writer has begun is committed or aborted.
        self._writer = translated(lambda: TransactionalWriter(connection, [f"headrace-{topic}-writer"]))
        self.closed = False

    def write(self, outgoing: Sequence[Outgoing]) -> None:
        translated(lambda: self._writer.write(outgoing, {}))

    def close(self) -> None:
        self.closed = True
        self._writer.close()
