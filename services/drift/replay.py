"""Each record changes the monitor's memory once, however often it is delivered."""

from collections.abc import Callable, Sequence

from shared.bus.base import Outgoing, TopicPartition
from shared.runtime.loop import Delivery

Answer = Sequence[Outgoing]


class Replay:
    """Remembers how far each partition was applied, and what was answered to records that may come again.

    A batch whose commit failed is delivered again, perhaps cut differently: its records must not be counted twice,
    and their answers, which nobody has seen, must be given again.
    """

    def __init__(self) -> None:
        self._applied: dict[TopicPartition, int] = {}
        self._answers: dict[TopicPartition, dict[int, Answer]] = {}

    def begin(self, deliveries: Sequence[Delivery]) -> None:
        """Forget the answers before this batch: the log delivers from its last commit, so it has those."""
        first: dict[TopicPartition, int] = {}
        for record, _ in deliveries:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        for place, start in first.items():
            kept = {offset: answer for offset, answer in self._answers.get(place, {}).items() if offset >= start}
            self._answers[place] = kept

    def answer(self, delivery: Delivery, apply: Callable[[Delivery], Answer]) -> Answer:
        """Return what `apply` answers to `delivery`, or answered when it was first delivered."""
        place = TopicPartition(delivery.record.topic, delivery.record.partition)
        offset = delivery.record.offset
        if offset <= self._applied.get(place, -1):
            return self._answers.get(place, {}).get(offset, ())
        answer = apply(delivery)
        self._applied[place] = offset
        if answer:
            self._answers.setdefault(place, {})[offset] = answer
        return answer
