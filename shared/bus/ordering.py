"""Records of several partitions, merged into the order in which they were produced.

Knows no log: it is fed with what was fetched and with what is known to wait, and tells what may be returned.
"""

import heapq
import itertools
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.bus.base import Record, TopicPartition, headers_bytes

FETCHED_BYTES_MAX = 1024 * 1024
"""Held of one partition before fetching from it pauses; the fetch under way may still add to it."""
RECORD_OVERHEAD_BYTES = 300
"""What a record takes in memory beside its key and value."""
PARTITION_WAIT_SECONDS_MAX = 1.0
"""How long a partition that has more to give and does not give it keeps the others from being returned."""

Turn = tuple[int, Record]
"""When a record's turn comes (milliseconds), and the record; turns sort by time, topic, partition, offset."""


def turns_of(records: Iterable[Record], *, not_before_ms: int | None = None) -> Iterator[Turn]:
    """Yield the turns of one partition's records: none comes before the turn of a record ahead of it."""
    turn_ms = not_before_ms
    for record in records:
        turn_ms = record.produced_ms if turn_ms is None else max(turn_ms, record.produced_ms)
        yield turn_ms, record


def first_turns(partitions: Iterable[Iterable[Turn]], count: int, *, last: Turn | None = None) -> list[Turn]:
    """Return the first `count` turns over all partitions, none of them after `last`."""
    merged = heapq.merge(*partitions)
    within = merged if last is None else itertools.takewhile(lambda turn: turn <= last, merged)
    return list(itertools.islice(within, count))


def whole_milliseconds(turns: Sequence[Turn], records_max: int, *, open_ms: int | None = None) -> Sequence[Turn]:
    """Return at most `records_max` turns, without those of a millisecond that goes on behind them.

    turns: one more than `records_max` where there are as many, to tell whether the last millisecond goes on.
    open_ms: the millisecond of which not everything was fetched, if any.

    A single millisecond is cut where the batch is full: nothing can be done about it.
    """
    if len(turns) > records_max:
        open_ms = turns[records_max][0]
    if open_ms is None:
        return turns
    return turns[: bisect_left(turns, (open_ms,)) or records_max]


@dataclass
class _Fetched:
    """What is held of one partition.

    more: whether the log has more of it, as far as is known; it has until it was heard of.
    waited_seconds: how long that was waited for since the last record came.
    """

    turns: deque[Turn] = field(default_factory=deque)
    size_bytes: int = 0
    more: bool = True
    waited_seconds: float = 0.0

    @property
    def full(self) -> bool:
        return self.size_bytes >= FETCHED_BYTES_MAX

    @property
    def awaited(self) -> bool:
        return self.more and self.waited_seconds < PARTITION_WAIT_SECONDS_MAX


class FetchedRecords:
    """What was fetched of the partitions owned and not yet returned."""

    def __init__(self, *, in_order: bool) -> None:
        """Start owning nothing.

        in_order: hold a record back while an older one may still have to be fetched, and return whole milliseconds.
            Without it whatever is there is returned, the oldest first.
        """
        self._in_order = in_order
        self._fetched: dict[TopicPartition, _Fetched] = {}

    def own(self, places: Iterable[TopicPartition]) -> None:
        """Forget the partitions that are not among `places`, and await those that are new."""
        self._fetched = {place: self._fetched.get(place) or _Fetched() for place in places}

    def forget(self, places: Iterable[TopicPartition]) -> None:
        """Drop what was fetched of `places`: it is read again, here or by another."""
        for place in places:
            self._fetched.pop(place, None)

    def add(self, place: TopicPartition, records: Iterable[Record]) -> None:
        """Append what was fetched of an owned partition, in its order."""
        fetched = self._fetched[place]
        latest_ms = fetched.turns[-1][0] if fetched.turns else None
        for turn in turns_of(records, not_before_ms=latest_ms):
            fetched.turns.append(turn)
            fetched.size_bytes += _size_bytes(turn[1])
        fetched.waited_seconds = 0.0

    def expect(self, more: Mapping[TopicPartition, bool], *, waited_seconds: float) -> None:
        """Note which of the owned partitions have more, after waiting for them."""
        for place, has_more in more.items():
            fetched = self._fetched[place]
            fetched.more = has_more
            fetched.waited_seconds = fetched.waited_seconds + waited_seconds if has_more and not fetched.full else 0.0

    def full(self) -> set[TopicPartition]:
        """Return the partitions of which enough is held for now."""
        return {place for place, fetched in self._fetched.items() if fetched.full}

    def next_offset(self, place: TopicPartition) -> int | None:
        """Return the offset of the partition's next record to return; None when nothing is held of it."""
        fetched = self._fetched.get(place)
        return fetched.turns[0][1].offset if fetched and fetched.turns else None

    def held(self) -> bool:
        """Tell whether anything is held, whether or not it can be returned."""
        return any(fetched.turns for fetched in self._fetched.values())

    def count(self) -> int:
        """Return how many records can be returned now, up to the last whole millisecond."""
        held = [fetched.turns for fetched in self._fetched.values()]
        limit = self._limit()
        if limit is None:
            return sum(map(len, held))
        if not limit.turns:
            return 0
        open_ms, _ = limit.turns[-1]
        return sum(bisect_left(turns, (open_ms,)) for turns in held)

    def settled(self, records_max: int) -> bool:
        """Tell whether there is something to return, and fetching more would not make a better batch of it."""
        limit = self._limit()
        if limit is None:
            return self.count() > 0
        return limit.full or self.count() >= records_max

    def take(self, records_max: int) -> list[Record]:
        """Return the next records, at most `records_max`, and let go of them."""
        held = [fetched.turns for fetched in self._fetched.values() if fetched.turns]
        limit = self._limit()
        if limit is None:
            turns, open_ms = first_turns(held, records_max + 1), None
        elif limit.full or self.count():
            turns, open_ms = first_turns(held, records_max + 1, last=limit.turns[-1]), limit.turns[-1][0]
        else:
            return []
        batch = whole_milliseconds(turns, records_max, open_ms=open_ms) if self._in_order else turns[:records_max]
        records = [record for _, record in batch]
        for record in records:
            fetched = self._fetched[TopicPartition(record.topic, record.partition)]
            fetched.turns.popleft()
            fetched.size_bytes -= _size_bytes(record)
        return records

    def _limit(self) -> _Fetched | None:
        """Return the awaited partition whose fetched records end first; what comes behind their end is not known."""
        awaited = [fetched for fetched in self._fetched.values() if fetched.awaited] if self._in_order else []
        nothing_yet = next((fetched for fetched in awaited if not fetched.turns), None)
        return nothing_yet or min(awaited, key=lambda fetched: fetched.turns[-1], default=None)


def _size_bytes(record: Record) -> int:
    payload_bytes = len(record.key or b"") + len(record.value or b"")
    return RECORD_OVERHEAD_BYTES + payload_bytes + (headers_bytes(record.headers) if record.headers else 0)
