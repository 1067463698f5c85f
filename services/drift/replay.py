"""Each record changes the monitor's memory once, however often it is delivered."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from shared.bus.base import Outgoing, Record, TopicPartition
from shared.runtime.loop import Delivery

Answer = Sequence[Outgoing]


class _Applied(NamedTuple):
    """How far a partition was applied; newest_ms: when the newest record of it was produced."""

    offset: int = -1
    newest_ms: int = -1


class Replay:
    """Remembers how far each partition was applied, and what was answered to records that may come again.

    A batch whose commit failed is delivered again, perhaps cut differently: its records must not be counted twice,
    and their answers, which nobody has seen, must be given again. A record at an applied offset that is newer than all
    that were applied is of another log, begun anew under the same name, and is applied.
    """

    def __init__(self) -> None:
        self._applied: dict[TopicPartition, _Applied] = {}
        self._answers: dict[TopicPartition, dict[int, Answer]] = {}

    def begin(self, deliveries: Sequence[Delivery]) -> None:
        """Forget the answers before this batch: the log delivers from its last commit, so it has those."""
        first: dict[TopicPartition, int] = {}
        for record, _ in deliveries:
            first.setdefault(_place(record), record.offset)
        for place, start in first.items():
            kept = {offset: answer for offset, answer in self._answers.get(place, {}).items() if offset >= start}
            self._answers[place] = kept

    def repeats(self, record: Record) -> bool:
        """Tell whether `record` was applied before."""
        applied = self._applied.get(_place(record), _Applied())
        return record.offset <= applied.offset and record.produced_ms <= applied.newest_ms

    def answered(self, record: Record) -> Answer:
        """Return what was answered to a record that was applied before."""
        return self._answers.get(_place(record), {}).get(record.offset, ())

    def apply(self, record: Record, answer: Answer = ()) -> None:
        """Remember that `record` was applied, and its answer."""
        place = _place(record)
        before = self._applied.get(place, _Applied())
        if record.offset <= before.offset:
            self._answers.pop(place, None)  # they were about another log
        self._applied[place] = _Applied(record.offset, max(before.newest_ms, record.produced_ms))
        if answer:
            self._answers.setdefault(place, {})[record.offset] = answer

    def answer(self, delivery: Delivery, respond: Callable[[Delivery], Answer]) -> Answer:
        """Return what `respond` answers to `delivery`, or answered when it was first delivered."""
        if self.repeats(delivery.record):
            return self.answered(delivery.record)
        answer = respond(delivery)
        self.apply(delivery.record, answer)
        return answer


def _place(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
