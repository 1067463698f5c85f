"""Of one payment, everything that was said is found, by whichever id; and nothing of another."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli.logs import logs
from services.local.errors import PlatformError
from services.local.payment_trace import ids_of, in_logs, on_the_log, told_of
from shared.bus.base import Outgoing, Record
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import Decision, Event, FeatureVector, Freshness
from shared.contracts.ids import derived_event_id, new_trace_id
from shared.contracts.topics import FEATURES, LABELS, SCORES, TOPICS, TRANSACTIONS, Topic
from shared.runtime.dead_letters import dead_letter
from tests.events import label, payment

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
DIGEST = "d" * 64


class Way:
    """A payment, and its vector and decision, which carry its time."""

    def __init__(self, name: str) -> None:
        self.trace_id = new_trace_id()
        self.payment = msgspec.structs.replace(payment(name), trace_id=self.trace_id)
        self.vector = FeatureVector(
            event_id=derived_event_id(NOW, "vector", name),
            occurred_at=NOW,
            trace_id=self.trace_id,
            transaction=self.payment,
            feature_set="fraud",
            feature_version=DIGEST,
            values=[1.0, 2.0],
            freshness=Freshness(state_age_seconds=0.005, source_lag_records=0),
        )
        self.decision = Decision(
            event_id=derived_event_id(NOW, "decision", name),
            occurred_at=NOW,
            trace_id=self.trace_id,
            transaction_id=self.payment.transaction_id,
            card_id=self.payment.card_id,
            decision="decline",
            score=0.97,
            reasons=[],
            model_name="fraud",
            model_version=3,
            model_digest=DIGEST,
            feature_version=DIGEST,
            vector_digest=DIGEST,
            policy_digest=DIGEST,
            policy_version=2,
        )

    @property
    def records(self) -> list[Outgoing]:
        return [
            produced(TRANSACTIONS, self.payment, 0),
            produced(FEATURES, self.vector, 0),
            produced(SCORES, self.decision, 0),
            produced(LABELS, label(self.payment, known_after=timedelta(hours=1)), 90),
        ]


def produced(topic: Topic, event: Event, after_ms: int) -> Outgoing:
    return Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event), NOW_MS + after_ms)


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus(partitions=2)
    bus.create_topics(TOPICS)
    publisher = bus.publisher()
    for way in (WAY, Way("other")):
        for record in way.records:
            publisher.send(record).result()
    return bus


WAY = Way("order-4711")


@pytest.mark.parametrize(
    "wanted", [WAY.trace_id, WAY.decision.event_id, WAY.payment.event_id, WAY.payment.transaction_id]
)
def test_every_record_is_found_by_any_id_and_none_of_another_payment(wanted: str, bus: MemoryBus) -> None:
    found = on_the_log(bus, wanted, since=NOW - timedelta(hours=1))
    seen = sorted(map(told_of, found))
    assert [(one.where.split()[0], round((one.at - NOW) / timedelta(milliseconds=1))) for one in seen] == [
        ("transactions", 0),
        ("features", 0),
        ("scores", 0),
        ("labels", 90),
    ]
    assert [one.is_timed for one in seen] == [True, False, False, True]
    assert seen[2].told.startswith("decline, score 0.9700 by fraud 3 (champion), policy 2")
    assert {WAY.trace_id, WAY.decision.event_id, WAY.payment.transaction_id} <= ids_of(found)


def test_what_was_rejected_is_found_by_what_it_said(bus: MemoryBus) -> None:
    record = Record(TRANSACTIONS.name, 0, 9, b"card", b'{"transaction_id": "order-13", "amount": "free"}', NOW_MS)
    rejected = dead_letter("features", record, BadRecordError("invalid", "amount: not a number"), NOW)
    bus.publisher().send(rejected).result()
    [found] = on_the_log(bus, "order-13", since=NOW)
    assert told_of(found).told == "rejected by features: invalid: amount: not a number"
    assert told_of(found).is_grave
    assert base64.b64encode(record.value or b"") in (found.record.value or b"")


def test_nothing_produced_before_is_read(bus: MemoryBus) -> None:
    assert on_the_log(bus, WAY.trace_id, since=NOW + timedelta(hours=1)) == []


def line(message: str, **fields: object) -> str:
    about = {"time": "2026-03-02T12:00:00.020000+00:00", "level": "warning", "service": "scoring", "logger": "l"}
    return json.dumps(about | {"message": message} | fields)


def test_lines_are_found_by_field_or_word_whatever_stands_around_them() -> None:
    ids = {WAY.trace_id, "order-4711", "7"}
    lines = [
        f"scoring-1  | {line('a rule failed', trace_id=WAY.trace_id, rule='r7')}\n",
        f"[pod/scoring-abc] {line('told once', transaction_id='order-4711')}",
        line(f"the answer to {WAY.trace_id} came late"),
        line("read 7 records, order-4711-b among them", partition=7_000),
        line("another", trace_id=new_trace_id()),
        f"a line of a library about {WAY.trace_id}",
        '{"trace_id": "cut ' + WAY.trace_id,
    ]
    told = [seen.told for seen in in_logs(lines, ids)]
    assert told == [
        "warning: a rule failed rule=r7",
        "warning: told once transaction_id=order-4711",
        f"warning: the answer to {WAY.trace_id} came late",
    ]


def run(*words: str, home: Path, given: str = "") -> Result:
    app = typer.Typer()
    app.command()(logs)
    return CliRunner().invoke(app, [*words, "--home", str(home)], input=given)


def test_the_command_reads_files_and_standard_input_also_without_a_log(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "scoring.log").write_text(line("first", trace_id=WAY.trace_id) + "\n")
    (tmp_path / "logs" / "drift.log.1").write_text(line("rotated", trace_id=WAY.trace_id) + "\n")
    shown = run(WAY.trace_id, home=tmp_path)
    assert shown.exit_code == 0, shown.output
    assert "warning: first" in shown.stdout
    assert "warning: rotated" in shown.stdout
    assert "without the topics: no platform runs" in " ".join(shown.stderr.split())
    piped = run(WAY.trace_id, "-", home=tmp_path, given=line("piped", trace_id=WAY.trace_id))
    assert "piped" in piped.stdout
    assert "first" not in piped.stdout


def test_an_id_nobody_speaks_of_is_an_error_that_says_so(tmp_path: Path) -> None:
    refused = run("f" * 32, home=tmp_path)
    assert isinstance(refused.exception, PlatformError)
    assert "--since" in str(refused.exception)
    missing = run("f" * 32, str(tmp_path / "nowhere"), home=tmp_path)
    assert "there are no logs at" in str(missing.exception)
