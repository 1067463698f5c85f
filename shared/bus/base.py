"""The port to the event log; every adapter passes the same contract suite (tests/contracts/test_bus.py).

Delivery is exactly-once between topics: what a subscription publishes in `commit` becomes visible together with
its progress, or not at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from shared.contracts.topics import Topic

RECORD_BYTES_MAX = 1_000_000
"""Largest record on an ordinary topic."""
DEAD_LETTER_BYTES_MAX = 4_000_000
"""Largest record on a dead-letter topic: the rejected record in base64, and why."""
HEADERS_BYTES_MAX = 16_384
"""Most bytes, names and values, of the headers that a record is written with; they come on top of the others."""

Headers = tuple[tuple[str, bytes], ...]
"""Names and values beside a record's value, in order; a name may stand twice. For what carries a record, not for who
reads its event: above all W3C Trace Context (shared/runtime/tracing)."""

Start = Literal["oldest", "newest"] | datetime
"""Where a tail starts: at the oldest record, behind the newest, or at the first produced at or after a time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def first_ms(start: datetime) -> int:
    """Return the first millisecond since 1970 that is not before `start`; raises TypeError without a time zone."""
    return max(0, -((_EPOCH - start) // _MILLISECOND))


def headers_bytes(headers: Headers) -> int:
    """Return how many bytes names and values of `headers` have."""
    return sum(len(name.encode()) + len(value) for name, value in headers)


def within_bounds(headers: Headers) -> Headers:
    """Return `headers`, to be written; raises ValueError where they are more than HEADERS_BYTES_MAX."""
    if headers and headers_bytes(headers) > HEADERS_BYTES_MAX:
        raise ValueError(f"headers of {headers_bytes(headers)} bytes; a record is written with {HEADERS_BYTES_MAX}")
    return headers


class BusUnavailableError(Exception):
    """The log cannot be reached now; nothing was lost, try again."""


class FencedError(Exception):
    """Somebody else took over; what was to be committed or written was refused, and nothing of it became visible.

    A subscription no longer owns what it polled: close it and subscribe again, and the records come back to whoever
    owns them now. A sole writer was followed by another: open one again, and read what the other wrote.
    """


class Record(NamedTuple):
    """A record as read: its place, its bytes, and when it was produced (milliseconds since the epoch).

    headers: as they were written, by whomever: of any size up to that of a record.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    produced_ms: int
    headers: Headers = ()


class Outgoing(NamedTuple):
    """A record to write.

    produced_ms: carried over from the record this one answers, so that its age can be told further down; now when None.
    headers: at most HEADERS_BYTES_MAX of them; more is a bug of who writes them, and raises ValueError.
    """

    topic: str
    key: bytes
    value: bytes
    produced_ms: int | None = None
    headers: Headers = ()


class TopicPartition(NamedTuple):
    """One ordered sequence of records."""

    topic: str
    partition: int


class Standing(NamedTuple):
    """How far a subscription is in one partition.

    waiting_records: how many it has not returned yet.
    newest_ms: when the last record it returned was produced (milliseconds since the epoch); None before the first.
    """

    waiting_records: int
    newest_ms: int | None


class Publisher(Protocol):
    """Writes records, each acknowledged on its own; a retry inside the client never writes twice."""

    def send(self, outgoing: Outgoing) -> "Future[None]":
        """Queue one record; the future completes when the log has it, or fails with BusUnavailableError.

        Raises:
            BusUnavailableError: the queue is full because the log does not answer.
        """
        ...

    def close(self) -> None:
        """Wait for what is queued, then let go."""
        ...


class SoleWriter(Protocol):
    """Writes records as long as nobody has opened a sole writer of the same topic since."""

    def write(self, outgoing: Sequence[Outgoing]) -> None:
        """Append `outgoing`, all of it or nothing, in its order.

        Raises:
            FencedError: another sole writer has been opened; nothing was written.
            BusUnavailableError: the outcome is unknown; open a sole writer again, and read the topic to learn it.
        """
        ...

    def close(self) -> None:
        """Let go."""
        ...


@runtime_checkable
class Subscription(Protocol):
    """A group's share of some topics, read in order, with progress kept by the log."""

    def poll(self, *, records_max: int, wait_seconds: float, linger_seconds: float = 0.0) -> list[Record]:
        """Return the next records, at most `records_max`, possibly none.

        Waits up to `wait_seconds` for the first, then up to `linger_seconds` for more.

        Raises:
            BusUnavailableError: the log cannot be reached.
        """
        ...

    def commit(self, outgoing: Sequence[Outgoing] = ()) -> None:
        """Publish `outgoing` and the progress over everything polled so far, atomically.

        Raises:
            FencedError: the group has moved on without this subscription; nothing was published.
            BusUnavailableError: the outcome is unknown; close, subscribe again, and the log tells by what it
                delivers next.
        """
        ...

    def standing(self) -> Mapping[TopicPartition, Standing]:
        """Return how far it is in every partition it owns and has heard of since; empty until there is one."""
        ...

    def close(self) -> None:
        """Leave the group; what was polled and not committed is delivered again."""
        ...


class Tail(Protocol):
    """Reads every partition of some topics without a group: each tail sees every committed record."""

    def poll(self, *, wait_seconds: float, records_max: int = 10_000) -> list[Record]:
        """Return the next committed records, possibly none; raises BusUnavailableError."""
        ...

    def caught_up(self) -> bool:
        """Tell whether everything written before this tail was opened has been returned."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Bus(Protocol):
    """The event log."""

    def create_topics(self, topics: Iterable[Topic]) -> None:
        """Create the topics that are missing, and the dead-letter topics of those that are read."""
        ...

    def publisher(self) -> Publisher:
        """Open a publisher."""
        ...

    def sole_writer(self, topic: str) -> SoleWriter:
        """Open a writer of `topic`, and fence every sole writer that was opened on it before, by any process.

        Whatever those wrote can be read when this returns, and nothing of theirs is added later: who reads the topic to
        its end now and then writes has read everything that comes before.

        Raises:
            BusUnavailableError: the log cannot be reached.
        """
        ...

    def subscribe(
        self,
        group: str,
        topics: Sequence[str],
        *,
        instance: str,
        in_order: bool = False,
        gather_seconds: float = 0.0,
    ) -> Subscription:
        """Join `group` on `topics`, from the oldest record where the group has no progress yet.

        instance: names this member across restarts, so that a successor takes over at once and a transaction its
            predecessor left open is aborted. Two live members must not share it.
        in_order: return the records of all topics and partitions owned in the order of (produced_ms, topic, partition,
            offset), as far as it can be told: while a partition is known to have more records than were fetched,
            nothing newer of another is returned; a partition that does not give them within a second is not waited
            for. A batch does not end within a millisecond, unless all of it is of that one. The order within a
            partition stays, also where it is not that of produced_ms. A topic written in transactions has more
            records than can be read while one is open, so each of them is waited for.
        gather_seconds: for so long the log may hold records back, to send more of them at once: a reader that is in no
            hurry costs it less.
        """
        ...

    def tail(self, topics: Sequence[str], *, start: Start, in_order: bool = False) -> Tail:
        """Open a tail; in_order: as for `subscribe`.

        start: a time is looked up in each partition on its own. What stands behind the record found is returned, also
            where it carries an earlier time; without such a record the tail starts behind the newest.
        """
        ...

    def group_lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """Return how many records `group` has not yet committed, by partition, seen from outside."""
        ...

    def has_committed(self, group: str, topics: Sequence[str]) -> bool:
        """Tell whether `group` has ever committed progress on one of `topics`, as far as the log remembers."""
        ...

    def reachable(self) -> bool:
        """Tell whether the log answers now; asks it."""
        ...

    def close(self) -> None:
        """Close everything opened through this bus."""
        ...
