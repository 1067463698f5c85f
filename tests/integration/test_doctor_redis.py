"""What the doctor says of real Redis-protocol servers: nothing as long as all is well, and each thing that is not."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from services.local.checks.finding import Area, Finding
from services.local.checks.redis import check_redis, of_server
from services.local.ports import choose_ports
from services.local.supervisor import Supervisor
from shared.runtime.clock import Clock, ManualClock, SystemClock
from shared.store.redis.inspection import ServerFacts
from tests.contracts.valkey import READY_SECONDS_MAX, ValkeyCluster, ValkeyServer

pytestmark = pytest.mark.servers

AREA = Area("redis")
ALL = ["reachable", "version", "eviction", "persistence", "memory", "latency", "clock"]
WELL = ServerFacts(
    address="the server",
    version=(7, 2),
    used_bytes=100,
    limit_bytes=1_000,
    eviction="noeviction",
    keeps_log=True,
    snapshots="",
    write_problem=None,
    round_trip_seconds=0.0002,
    ahead_seconds=0.01,
    cluster_state=None,
)


@pytest.fixture
def server(supervisor: Supervisor, tmp_path: Path) -> Iterator[ValkeyServer]:
    made = ValkeyServer(tmp_path, port=choose_ports([None])[0], options={"appendonly": "yes"})
    supervisor.start(made)
    supervisor.wait_ready([made], seconds_max=READY_SECONDS_MAX, say=print)
    yield made
    made.stop()


class Steady:
    """A clock on which no time passes for as long as a server is waited for, however busy this machine is."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now

    def monotonic_seconds(self) -> float:
        return 0.0


def looked_at(url: str, clock: Clock | None = None) -> Sequence[Finding]:
    return check_redis(AREA, url, timeout_seconds=5.0, clock=clock or Steady(SystemClock()))


def told(findings: Sequence[Finding]) -> dict[str, str]:
    assert all(finding.advice for finding in findings if finding.outcome in {"warning", "failed"})
    return {finding.subject: finding.outcome for finding in findings if finding.outcome != "ok"}


def test_a_server_is_all_right_until_something_is_changed(server: ValkeyServer) -> None:
    found = looked_at(server.url)
    assert told(found) == {}
    assert [finding.subject for finding in found] == ALL
    server.ask("CONFIG SET", "maxmemory-policy", "allkeys-lru", "appendonly", "no", "maxmemory", "50kb")
    assert told(looked_at(server.url)) == {"eviction": "failed", "persistence": "warning", "memory": "failed"}
    assert told(looked_at(server.url, ManualClock(SystemClock().now() - timedelta(minutes=1))))["clock"] == "warning"
    server.stop()
    [gone] = looked_at(server.url.replace("://", "://user:secret@"))
    assert (gone.subject, gone.outcome) == ("reachable", "failed")
    assert f"127.0.0.1:{server.port}" in gone.found
    assert "secret" not in gone.found


def test_every_primary_of_a_cluster_is_asked(supervisor: Supervisor, tmp_path: Path) -> None:
    cluster = ValkeyCluster(tmp_path, supervisor)
    found = looked_at(cluster.url)
    assert told(found) == {"persistence": "warning"}
    assert sum(finding.subject == "persistence" for finding in found) == len(cluster.nodes)
    slot = cluster.nodes[0].ask("CLUSTER KEYSLOT", "some-key")
    for node in cluster.nodes:
        node.ask("CLUSTER DELSLOTS", slot)
    assert told(looked_at(cluster.url)) == {"persistence": "warning", "cluster": "failed"}
    supervisor.stop(list(cluster.nodes))


@pytest.mark.parametrize(
    ("changed", "subject", "outcome"),
    [
        ({"version": (6, 2)}, "version", "failed"),
        ({"keeps_log": False, "snapshots": "3600 1"}, "persistence", "warning"),
        ({"write_problem": "it could not write its log"}, "persistence", "failed"),
        ({"used_bytes": 850}, "memory", "warning"),
        ({"limit_bytes": None}, "memory", "not checked"),
        ({"round_trip_seconds": 0.02}, "latency", "warning"),
        ({"ahead_seconds": -6.0}, "clock", "warning"),
    ],
)
def test_what_cannot_be_provoked_here_is_told_too(changed: dict[str, object], subject: str, outcome: str) -> None:
    assert told(of_server(AREA, WELL)) == {}
    assert told(of_server(AREA, WELL._replace(**changed))) == {subject: outcome}  # type: ignore[arg-type]
