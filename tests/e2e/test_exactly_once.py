"""Processes are killed, neighbours go away, everything is sent twice: still one decision a payment, from right vectors."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from services.local.platform import Platform
from shared.bus.base import Bus, Outgoing, Record
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, Transaction
from shared.contracts.topics import FEATURES, SCORES, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import Entity, Window
from shared.runtime.loop import Delivery
from tests.events import payment
from tests.features import features_handler

pytestmark = pytest.mark.servers

COUNT = 3000
PATIENCE_POLLS = 600
PATIENCE_SECONDS = 120
OF_OTHERS = [at for at, f in enumerate(FRAUD.features) if isinstance(f, Window) and f.entities[0] is not Entity.CARD]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("platform"), services=["features", "scoring"]) as running:
        running.start(lambda _: None)
        yield running


def payments(name: str) -> list[Transaction]:
    chance = random.Random(name)
    return [
        payment(
            f"{name}-{number}",
            after=timedelta(minutes=number * 7),
            card_id=f"{name}-card-{chance.randrange(40)}",
            merchant_id=f"{name}-merchant-{chance.randrange(10)}",
            amount=chance.randrange(100_000),
        )
        for number in range(COUNT)
    ]


def send(bus: Bus, events: list[Transaction]) -> None:
    publisher = bus.publisher()
    sent = [publisher.send(Outgoing(TRANSACTIONS.name, e.card_id.encode(), codec.encode(e))) for e in events]
    for future in sent:
        future.result(timeout=60)


def read_until_quiet(bus: Bus, name: str, trouble: Callable[[int], None]) -> list[Decision]:
    """Return every decision about `name`'s payments, until all are there and no group has anything left to do."""
    tail = bus.tail([SCORES.name], start="oldest")
    decisions: list[Decision] = []
    for _ in range(PATIENCE_POLLS):
        events = [codec.decode(Decision, record.value or b"") for record in tail.poll(wait_seconds=0.2)]
        decisions += [event for event in events if event.card_id.startswith(name)]
        trouble(len(decisions))
        if len({decision.transaction_id for decision in decisions}) == COUNT and nothing_waits(bus):
            return decisions + [
                event
                for record in tail.poll(wait_seconds=1.0)
                if (event := codec.decode(Decision, record.value or b"")).card_id.startswith(name)
            ]
    raise AssertionError(f"{len(decisions)} decisions of {COUNT} came")


def nothing_waits(bus: Bus) -> bool:
    groups = {"headrace-features-windows": TRANSACTIONS.name, "headrace-scoring-decisions": FEATURES.name}
    return all(sum(bus.group_lag(group, [topic]).values()) == 0 for group, topic in groups.items())


def assert_one_each(decisions: list[Decision], events: list[Transaction]) -> None:
    assert Counter(decision.transaction_id for decision in decisions) == dict.fromkeys(
        (event.transaction_id for event in events), 1
    )


class Once:
    """Does something the first time a number of decisions is reached."""

    def __init__(self, *steps: tuple[int, Callable[[], object]]) -> None:
        self._left = list(steps)

    def __call__(self, decided: int) -> None:
        if self._left and decided >= self._left[0][0]:
            self._left.pop(0)[1]()

    def all_done(self) -> bool:
        return not self._left


def test_killing_features_and_scoring_loses_nothing_and_decides_nothing_twice(platform: Platform) -> None:
    bus = platform.bus()
    events = payments("killed")

    def kill(name: str) -> None:
        platform.service(name).kill()
        platform.service(name).start()

    send(bus, events[: COUNT // 2])
    trouble = Once(
        (1, lambda: kill("features")),
        (1, lambda: kill("scoring")),
        (1, lambda: send(bus, events[COUNT // 2 :])),
        (COUNT // 2, lambda: kill("features")),
        (COUNT // 2 + 1, lambda: kill("scoring")),
    )
    decisions = read_until_quiet(bus, "killed", trouble)
    assert trouble.all_done()
    assert_one_each(decisions, events)
    assert_vectors_of_an_undisturbed_run(bus, "killed", events)


def assert_vectors_of_an_undisturbed_run(bus: Bus, name: str, events: list[Transaction]) -> None:
    """Compare what was served with what one process without Kafka, Redis and trouble computes.

    A merchant's payments come from several partitions, whose order among each other is free: those features are left out.
    """
    undisturbed = features_handler()(
        [Delivery(Record(TRANSACTIONS.name, 0, at, b"", b"", 0), e) for at, e in enumerate(events)]
    )
    wanted = [codec.decode(FeatureVector, outgoing.value) for outgoing in undisturbed]
    tail = bus.tail([FEATURES.name], start="oldest")
    served: list[FeatureVector] = []
    while not tail.caught_up():
        served += [codec.decode(FeatureVector, record.value or b"") for record in tail.poll(wait_seconds=0.2)]
    own = [vector for vector in served if vector.transaction.card_id.startswith(name)]
    assert len(own) == COUNT
    assert {v.transaction.transaction_id: of_card(v) for v in own} == {
        v.transaction.transaction_id: of_card(v) for v in wanted
    }


def of_card(vector: FeatureVector) -> list[float]:
    return [value for at, value in enumerate(vector.values) if at not in OF_OTHERS]


def test_sending_everything_twice_changes_nothing(platform: Platform) -> None:
    bus = platform.bus()
    events = payments("twice")
    send(bus, events)
    send(bus, random.Random(1).sample(events, COUNT))
    assert_one_each(read_until_quiet(bus, "twice", lambda _: None), events)


def test_kafka_and_redis_away_in_mid_stream_lose_nothing(platform: Platform) -> None:
    bus = platform.bus()
    events = payments("away")

    def redis_away() -> None:
        os.kill(platform.server("redis").pid, signal.SIGSTOP)
        send(bus, events[COUNT // 3 : 2 * COUNT // 3])
        wait_until_not_ready(platform, because="Redis does not answer")
        os.kill(platform.server("redis").pid, signal.SIGCONT)

    def kafka_away() -> None:
        platform.server("kafka").stop()
        wait_until_not_ready(platform, because="Kafka does not answer")
        platform.server("kafka").start()
        while platform.server("kafka").problem() is not None:
            pass
        send(bus, events[2 * COUNT // 3 :])

    send(bus, events[: COUNT // 3])
    trouble = Once((1, redis_away), (COUNT // 3, kafka_away))
    decisions = read_until_quiet(bus, "away", trouble)
    assert trouble.all_done()
    assert_one_each(decisions, events)


def wait_until_not_ready(platform: Platform, *, because: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        problem = platform.service("features").problem()
        if problem is not None and because in problem:
            return
    raise AssertionError(f"features does not say {because!r}")
