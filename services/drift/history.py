"""Finds the model in force after a restart, when what put it there lies behind the group's progress."""

from shared.bus.base import Bus, BusUnavailableError, Record, Tail
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.topics import BY_NAME, MODELS
from shared.runtime.loop import Delivery, Handler

POLL_SECONDS = 0.1


class ModelHistory:
    """Reads `models` from its beginning, once, into the monitor."""

    def __init__(self, bus: Bus, monitor: Handler) -> None:
        self._bus = bus
        self._monitor = monitor
        self._tail: Tail | None = None
        self._read = False

    def problem(self) -> str | None:
        """Read on; tell that there is more to read, or None once all was read.

        Raises:
            BusUnavailableError: the log cannot be reached; ask again.
        """
        if self._read:
            return None
        try:
            self._tail = self._tail or self._bus.tail([MODELS.name], start="oldest")
            self._monitor(_decoded(self._tail.poll(wait_seconds=POLL_SECONDS)))
            self._read = self._tail.caught_up()
        except BusUnavailableError:
            self._close()
            raise
        if self._read:
            self._close()
            return None
        return f"reading the history of {MODELS.name}"

    def _close(self) -> None:
        if self._tail is not None:
            self._tail.close()
        self._tail = None


def _decoded(records: list[Record]) -> list[Delivery]:
    deliveries = []
    for record in records:
        try:
            deliveries.append(Delivery(record, codec.decode_record(BY_NAME[record.topic], record.key, record.value)))
        except BadRecordError:
            continue  # the loop sends it to the dead-letter topic when it reads it as a member of the group
    return deliveries
