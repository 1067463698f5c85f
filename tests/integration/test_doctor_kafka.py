"""What the doctor says of a real broker: nothing as long as all is well, and each thing that is not."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import kafka
import pytest
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions

from services.local.broker_jars import find_java
from services.local.checks.finding import Area, Finding
from services.local.checks.kafka import check_kafka
from services.local.checks.rejected import check_rejected
from services.local.kafka import KafkaServer
from services.local.ports import choose_ports
from services.local.supervisor import Supervisor
from shared.bus.base import Outgoing
from shared.bus.kafka import KafkaBus
from shared.contracts.topics import LABELS, MODELS, SCORES, TOPICS, TRANSACTIONS, USERS
from shared.runtime.clock import Clock, ManualClock, SystemClock
from tests.conftest import READY_SECONDS_MAX
from tests.contracts.rejecting import publish, reject, rejected
from tests.events import START

pytestmark = pytest.mark.servers

NOW = SystemClock()


@pytest.fixture(scope="module")
def broker(
    supervisor: Supervisor, broker_jars: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaServer]:
    """A broker of these tests' own, with every topic as it is wanted, until one of them changes it."""
    folder = tmp_path_factory.mktemp("kafka")
    port, controller_port = choose_ports([None, None])
    server = KafkaServer(
        folder,
        java=find_java(),
        jars=broker_jars,
        port=port,
        controller_port=controller_port,
        log_path=folder / "kafka.log",
    )
    supervisor.start(server)
    supervisor.wait_ready([server], seconds_max=READY_SECONDS_MAX, say=print)
    with contextlib.closing(KafkaBus(server.bootstrap_servers, partitions=2)) as bus:
        bus.create_topics(TOPICS)
    yield server
    server.stop()


def looked_at(bootstrap_servers: str, clock: Clock = NOW) -> Sequence[Finding]:
    return check_kafka(Area("kafka"), bootstrap_servers, partitions=2, clock=clock)


def told(findings: Sequence[Finding]) -> dict[tuple[str, str], str]:
    """Return what is not as it should be, by subject and outcome."""
    assert all(finding.advice for finding in findings if finding.outcome in {"warning", "failed"})
    return {(finding.subject, finding.outcome): finding.found for finding in findings if finding.outcome != "ok"}


def rejected_of(bootstrap_servers: str) -> Finding:
    [finding] = check_rejected(Area("rejected"), lambda: KafkaBus(bootstrap_servers, partitions=2))
    return finding


def change(bootstrap_servers: str) -> None:
    """Make everything about topics that can be wrong be wrong."""
    with contextlib.closing(kafka.KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        admin.create_partitions({MODELS.name: NewPartitions(3), SCORES.name: NewPartitions(5)})
        for topic, name, value in (
            (TRANSACTIONS, "retention.ms", "86400000"),
            (LABELS, "cleanup.policy", "compact"),
            (USERS, "cleanup.policy", "delete"),
        ):
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, {name: value})])
        admin.delete_topics([LABELS.dead_letter_name])


def test_a_broker_is_all_right_until_something_is_changed(broker: KafkaServer) -> None:
    servers = broker.bootstrap_servers
    assert told(looked_at(servers)) == {
        ("groups", "warning"): "nobody reads the log",
        ("clock", "not checked"): "the log has no record to compare with",
    }
    with contextlib.closing(KafkaBus(servers, partitions=2)) as bus:
        publish(bus, Outgoing(TRANSACTIONS.name, b"k", b"v"))
        member = bus.subscribe("headrace-features-windows", [TRANSACTIONS.name], instance="0")
        while not member.poll(records_max=1, wait_seconds=0.2):
            pass
        assert told(looked_at(servers)) == {}
        assert rejected_of(servers).outcome == "ok"
        reject(bus, rejected(TRANSACTIONS, 1), at=START)
        assert rejected_of(servers).found == "rejected, and not sent back: transactions 1"
        behind = ManualClock(NOW.now() - timedelta(hours=1))
        assert told(looked_at(servers, behind)).keys() == {("clock", "warning")}
        change(servers)
        assert told(looked_at(servers)) == {
            ("topics", "failed"): "missing: labels.dlq",
            ("partitions", "failed"): "more than one, so that their records have no order: models",
            ("partitions", "warning"): "not the 2 of HEADRACE_TOPIC_PARTITIONS: scores 5",
            ("retention", "warning"): "kept for less: transactions 1 d, 92 d wanted",
            ("compaction", "failed"): "compacted, and so losing records that are wanted: labels",
            ("compaction", "warning"): "not compacted: users",
        }


def test_a_transaction_that_does_not_end_is_told(broker: KafkaServer) -> None:
    servers = broker.bootstrap_servers
    producer = kafka.KafkaProducer(bootstrap_servers=servers, transactional_id="left-open")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(SCORES.name, b"never committed", key=b"k").get(30)
    assert ("unfinished", "failed") not in told(looked_at(servers))
    later = ManualClock(NOW.now() + timedelta(minutes=10))
    assert "scores/" in told(looked_at(servers, later))["unfinished", "failed"]
    producer.abort_transaction()
    producer.close()


def test_a_broker_that_is_not_there_is_told() -> None:
    [port] = choose_ports([None])
    [gone] = looked_at(f"127.0.0.1:{port}")
    assert (gone.subject, gone.outcome) == ("reachable", "failed")
    assert f"127.0.0.1:{port}" in gone.found
    assert rejected_of(f"127.0.0.1:{port}").outcome == "not checked"
