"""The entries of lists as they stand at one moment, for a file: it asks no store."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from services.scoring.policy.lists import Entries
from shared.bus.base import Bus
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ListEvent, Transaction
from shared.contracts.topics import LISTS

_WAIT_SECONDS = 0.2


def entries_on(bus: Bus, now: datetime) -> list[ListEvent]:
    """Return the entries that `lists` leaves standing; raises BusUnavailableError."""
    entries = Entries()
    with contextlib.closing(bus.tail([LISTS.name], start="oldest")) as tail:
        while not tail.caught_up():
            for record in tail.poll(wait_seconds=_WAIT_SECONDS):
                # What is no list event counts nowhere; the service that follows `lists` tells of it.
                with contextlib.suppress(BadRecordError):
                    event = codec.decode_record(LISTS, record.key, record.value)
                    assert isinstance(event, ListEvent)  # noqa: S101 - the topic's type
                    entries.apply(event)
    return entries.standing(now)


class Listed:
    """Finds the entries that match a payment, as policy.lists.Lists does with the store's answers."""

    def __init__(self, entries: Iterable[ListEvent]) -> None:
        self._names: dict[tuple[str, str], list[str]] = defaultdict(list)
        for entry in sorted(entries, key=lambda entry: entry.list_name):
            self._names[entry.entity, entry.value].append(f"{entry.list_name}:{entry.entity}")

    def matched(self, payment: Transaction) -> list[str]:
        """Return the entries that match, such as `block:card`."""
        if not self._names:
            return []
        about = {
            "card": payment.card_id,
            "merchant": payment.merchant_id,
            "device": payment.device_id,
            "user": payment.user_id,
        }
        return [name for entity, value in about.items() if value for name in self._names.get((entity, value), ())]
