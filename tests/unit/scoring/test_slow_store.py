"""A slow or silent Redis costs a payment its features, never its answer in time."""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.store.redis import open_store
from tests.contracts.slow_way import SlowWay, slow_way
from tests.contracts.valkey import ValkeyServer
from tests.events import payment
from tests.unit.scoring.rest_scene import RestScene, decision_bytes, decision_in, rest_scene

pytest_plugins = ["tests.contracts.store_servers"]
pytestmark = pytest.mark.servers

BUDGET_SECONDS = 0.05
SLOW_SECONDS = 0.2
STORE_TIMEOUT_SECONDS = 60.0
"""So long a call to the store may take by itself: what is given up before was given up by the budget."""


@pytest.fixture
def way(valkey_server: ValkeyServer) -> Iterator[SlowWay]:
    valkey_server.ask("FLUSHALL")
    with slow_way(valkey_server.port) as running:
        yield running


@pytest.fixture
def scene(tmp_path: Path, way: SlowWay) -> Iterator[RestScene]:
    store = open_store(f"redis://127.0.0.1:{way.port}", timeout_seconds=STORE_TIMEOUT_SECONDS)
    with rest_scene(tmp_path, store=store, headrace_scoring_state_seconds_max=BUDGET_SECONDS) as running:
        wait_for_features(running, "first")
        yield running


def wait_for_features(scene: RestScene, name: str) -> None:
    """Post payments until one is answered with features: a busy machine may be late at first."""
    for attempt in range(100):
        if scene.decided(payment(f"{name}-{attempt}")).degraded == []:
            return
    pytest.fail("never with features")


def misses(scene: RestScene, reason: str) -> float:
    return scene.metric(f'headrace_state_misses_total{{reason="{reason}"}}')


def test_answers_stay_within_the_budget_while_redis_is_slow_and_are_nobody_elses_behind(
    scene: RestScene, way: SlowWay
) -> None:
    before = misses(scene, "slow")
    way.delay_seconds = SLOW_SECONDS
    events = [payment(f"slow-{n}", after=timedelta(minutes=n), card_id=f"card-{n}", amount=99_000) for n in range(5)]
    answers = list(map(scene.post, events))
    assert [(decision_in(a).decision, decision_in(a).degraded) for a in answers] == [("approve", ["features"])] * 5
    assert misses(scene, "slow") == before + 5
    way.delay_seconds = 0.0
    wait_for_features(scene, "again")
    on_scores = set(scene.scores(6))
    assert {decision_bytes(answer) for answer in answers} <= on_scores


def test_answers_stay_within_the_budget_while_redis_is_away(scene: RestScene, valkey_server: ValkeyServer) -> None:
    before = misses(scene, "slow")
    os.kill(valkey_server.pid, signal.SIGSTOP)
    try:
        answer = scene.post(payment("away", after=timedelta(minutes=1), amount=99_000))
        assert (decision_in(answer).decision, decision_in(answer).degraded) == ("approve", ["features"])
    finally:
        os.kill(valkey_server.pid, signal.SIGCONT)
    assert misses(scene, "slow") == before + 1
    wait_for_features(scene, "again")
    assert decision_bytes(answer) in scene.scores(2)
