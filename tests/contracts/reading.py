"""Writing to an event log and reading from it until what is expected has come."""

from shared.bus.base import Bus, Outgoing, Record, Subscription, Tail
from shared.contracts.topics import Topic

PARTITIONS = 4
PATIENCE_POLLS = 150
POLL_SECONDS = 0.2


def write(bus: Bus, topic: Topic, count: int, *, first: int = 0) -> None:
    publisher = bus.publisher()
    sent = [
        publisher.send(Outgoing(topic.name, f"k{n % 10}".encode(), str(n).encode()))
        for n in range(first, first + count)
    ]
    for future in sent:
        future.result(timeout=30)


def read(reader: Subscription | Tail, count: int, **options: float) -> list[Record]:
    records: list[Record] = []
    idle_polls = 0
    # However slow the machine: what matters is that records come.
    while idle_polls < PATIENCE_POLLS:
        if isinstance(reader, Subscription):
            more = reader.poll(records_max=1000, wait_seconds=POLL_SECONDS, **options)
        else:
            more = reader.poll(wait_seconds=POLL_SECONDS)
        records += more
        idle_polls = 0 if more else idle_polls + 1
        if len(records) >= count:
            return records
    raise AssertionError(f"only {len(records)} of {count} records came")


def everything(bus: Bus, topic: Topic) -> list[Record]:
    tail = bus.tail([topic.name], start="oldest")
    records: list[Record] = []
    while not tail.caught_up():
        records += tail.poll(wait_seconds=POLL_SECONDS)
    tail.close()
    return records


def values(records: list[Record]) -> list[int]:
    return sorted(int(record.value or b"") for record in records)


def answers(sink: Topic, records: list[Record]) -> list[Outgoing]:
    return [Outgoing(sink.name, record.key or b"", record.value or b"") for record in records]
