"""A hash-chained topic (shared/contracts/chain.py): what stands on it, and the one way to append, for any process.

Two writers must never follow the same record. Whoever appends therefore first becomes the topic's sole writer, which
fences everybody else, and only then reads what to follow.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from msgspec.structs import replace as with_fields
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from shared.bus.base import Bus, BusUnavailableError, FencedError, Outgoing, Record
from shared.contracts import codec
from shared.contracts.chain import E, link, readable
from shared.contracts.topics import Topic

ATTEMPTS_MAX = 20
"""Tries to append before it is given up; each takes less than a second, and the pauses between them grow."""
_PAUSE_SECONDS_MAX = 2.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Chain(Generic[E]):
    """The events on the topic, oldest first, and the digest that the next one must follow."""

    events: tuple[E, ...] = ()
    head: str | None = None


class ChainedLog(Generic[E]):
    """Reads a chained topic, and appends to it."""

    def __init__(
        self, bus: Bus, topic: Topic, event_type: type[E], *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Remember where the log is; `sleep` takes seconds."""
        self._bus = bus
        self._topic = topic
        self._event_type: type[E] = event_type
        self._sleep = sleep

    def records(self) -> list[Record]:
        """Return the whole topic, oldest first.

        Raises:
            BusUnavailableError: the log does not answer.
        """
        records: list[Record] = []
        with contextlib.closing(self._bus.tail([self._topic.name], start="oldest")) as tail:
            while not tail.caught_up():
                records += tail.poll(wait_seconds=_POLL_SECONDS)
        return records

    def chain(self) -> Chain[E]:
        """Return what has been announced up to now; raises as `records`."""
        values = [record.value for record in self.records()]
        # A record that cannot be read was written by somebody else: the chain goes on behind it.
        return Chain(tuple(readable(values, self._event_type)), link(values[-1] or b"") if values else None)

    def append(self, make: Callable[[Chain[E]], Sequence[E]]) -> list[E]:
        """Announce what `make` returns; return it as written, linked to what it follows.

        make: given everything announced so far, returns events whose `previous_digest` does not matter; none, to write
            nothing. Nothing comes between what it is given and what it returns. It is called again when another process
            was faster, so it must be quick, and do nothing but decide.

        Raises:
            BusUnavailableError: the log does not answer, and nothing or all of it was written: `chain` tells; or others
                keep writing, and nothing was.
            BadRecordError: `make` returned what nobody could read, so nothing was written.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(FencedError),
            wait=wait_random_exponential(multiplier=0.5, max=_PAUSE_SECONDS_MAX),
            stop=stop_after_attempt(ATTEMPTS_MAX),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._append, make)
        except FencedError as error:
            raise BusUnavailableError(
                f"{ATTEMPTS_MAX} times another process began to write to {self._topic.name} first; try again"
            ) from error

    def _append(self, make: Callable[[Chain[E]], Sequence[E]]) -> list[E]:
        with contextlib.closing(self._bus.sole_writer(self._topic.name)) as writer:
            chain = self.chain()
            events = self._linked(make(chain), chain.head)
            if events:
                writer.write(
                    [Outgoing(self._topic.name, self._topic.key_of(e).encode(), codec.encode(e)) for e in events]
                )
            return events

    def _linked(self, events: Sequence[E], head: str | None) -> list[E]:
        """Return `events`, each following the one before; read back, since only reading checks every bound."""
        linked: list[E] = []
        for event in events:
            value = codec.encode(with_fields(event, previous_digest=head))
            linked.append(codec.decode(self._event_type, value))
            head = link(value)
        return linked
