"""The committed examples and schemas against the events, and the envelope's promises."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import DeadLetter, Transaction
from shared.contracts.ids import derived_event_id, new_event_id
from shared.contracts.topics import BY_NAME, TOPICS, TRANSACTIONS
from tests.events import payment

EXAMPLES = Path(__file__).parents[2] / "shared" / "contracts" / "examples"
EVENT_OF_FOLDER = {topic.name: topic.event for topic in TOPICS} | {"dlq": DeadLetter}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_example_is_what_its_event_encodes_to(path: Path) -> None:
    event = codec.decode(EVENT_OF_FOLDER[path.parent.name], path.read_bytes())
    assert json.loads(codec.encode(event)) == json.loads(path.read_bytes())


def test_every_event_has_an_example() -> None:
    assert {path.parent.name for path in EXAMPLES.glob("*/*.json")} == set(EVENT_OF_FOLDER)


def test_every_reader_has_a_writer() -> None:
    assert [topic.name for topic in TOPICS if topic.read_by and not topic.written_by] == []


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("amount", '"12.50"', "$.amount"),
        ("amount", "-1", "$.amount"),
        ("amount", "12.5", "$.amount"),
        ("currency", '"euro"', "$.currency"),
        ("occurred_at", '"2026-03-02T12:00:00"', "$.occurred_at"),
        ("card_id", '""', "$.card_id"),
        ("event_id", '"00000000-0000-4000-8000-000000000000"', "$.event_id"),
        ("amuont", "1", "amuont"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: str, told: str) -> None:
    raw = json.loads(codec.encode(payment("a"))) | {field: json.loads(value)}
    with pytest.raises(BadRecordError, match=told.replace("$", r"\$")):
        codec.decode(Transaction, json.dumps(raw).encode())


@given(st.binary(max_size=300))
def test_noise_is_refused_with_a_reason_and_never_crashes(noise: bytes) -> None:
    with pytest.raises(BadRecordError):
        codec.decode_record(TRANSACTIONS, b"card-1", noise)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.text(), st.text())  # noqa: DTZ001
def test_derived_ids_are_uuid7_stable_and_keep_their_words_apart(time: datetime, one: str, other: str) -> None:
    at = time.replace(tzinfo=UTC)
    derived = derived_event_id(at, one, other)
    assert derived == derived_event_id(at, one, other)
    assert derived != derived_event_id(at, one + other)
    assert int(derived.replace("-", "")[:12], 16) == int(at.timestamp() * 1000)
    assert codec.decode(Transaction, codec.encode(payment("a", event_id=derived))).event_id == derived


def test_new_ids_differ_and_sort_by_time() -> None:
    ids = [new_event_id(NOW + timedelta(milliseconds=n)) for n in range(100)]
    assert len(set(ids)) == 100
    assert ids == sorted(ids)


def test_the_key_of_a_record_must_be_its_events() -> None:
    event = payment("a")
    with pytest.raises(BadRecordError, match="card-1"):
        codec.decode_record(BY_NAME["transactions"], b"card-2", codec.encode(event))
