"""The records of the carried topics: read whole, looked over, and written back byte for byte."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from services.local.backup.contents import BackupError, CarriedRecord
from services.scoring.policy.publishing import audited
from shared.bus.base import Bus, FencedError, Outgoing, Record, SoleWriter, Tail
from shared.contracts.chain import ChainAudit, examined
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS, POLICIES, Topic

_POLL_SECONDS = 0.2
_BATCH_RECORDS = 1_000
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(CarriedRecord)


def read_records(bus: Bus, topic: Topic) -> list[CarriedRecord]:
    """Return a whole topic, oldest first; raises BusUnavailableError."""
    with contextlib.closing(bus.tail([topic.name], start="oldest")) as tail:
        return [_carried(record) for record in _to_the_end(tail)]


def lines(records: Sequence[CarriedRecord]) -> bytes:
    """Return records as JSON Lines, keys and values in base64."""
    return _ENCODER.encode_lines(records)


def records_in(content: bytes) -> list[CarriedRecord]:
    """Return the records in JSON Lines."""
    return _DECODER.decode_lines(content)


def audits(records: Mapping[str, Sequence[CarriedRecord]]) -> dict[str, ChainAudit]:
    """Return what an audit finds in the records of each hash-chained topic, by its name."""
    models, policies = ([record.value for record in records[topic.name]] for topic in (MODELS, POLICIES))
    return {MODELS.name: examined(models, ModelEvent), POLICIES.name: audited(policies)}


def continue_topic(bus: Bus, topic: Topic, records: Sequence[CarriedRecord]) -> int:
    """Write what a topic lacks of `records`, as its sole writer; return how many were written.

    Raises:
        BackupError: the topic holds something else, or somebody else began to write to it.
        BusUnavailableError: the log does not answer; what was written stays, and the next call goes on behind it.
    """
    with contextlib.closing(bus.sole_writer(topic.name)) as writer:
        there = read_records(bus, topic)
        if [record.value for record in there] != [record.value for record in records[: len(there)]]:
            raise BackupError(
                f"{topic.name} holds {len(there)} records that are not those of the backup: restore it into a platform "
                "on whose log nobody has announced anything"
            )
        missing = records[len(there) :]
        for first in range(0, len(missing), _BATCH_RECORDS):
            _write(writer, topic, missing[first : first + _BATCH_RECORDS])
    return len(missing)


def _write(writer: SoleWriter, topic: Topic, records: Sequence[CarriedRecord]) -> None:
    try:
        writer.write([Outgoing(topic.name, record.key, record.value, record.produced_ms) for record in records])
    except FencedError as error:
        raise BackupError(
            f"somebody else began to write to {topic.name} meanwhile; see who does, then restore again"
        ) from error


def _to_the_end(tail: Tail) -> Iterator[Record]:
    while not tail.caught_up():
        yield from tail.poll(wait_seconds=_POLL_SECONDS)


def _carried(record: Record) -> CarriedRecord:
    # To a hash chain, no value and an empty one are the same, and neither is an event.
    return CarriedRecord(record.key or b"", record.value or b"", record.produced_ms)
