"""Processes come and go under load, orderly and not: nothing is lost, decided twice, out of order, or computed otherwise."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

import httpx
import pytest

from services.local.platform import Platform
from shared.bus.base import Bus, Outgoing, Record
from shared.contracts import codec
from shared.contracts.events import Decision, Event, FeatureVector, Transaction
from shared.contracts.topics import FEATURES, SCORES, TRANSACTIONS, Topic
from shared.runtime.loop import Delivery
from shared.runtime.metrics.exposition import parse_exposition
from tests.events import payment
from tests.features import features_handler

pytestmark = pytest.mark.servers

E = TypeVar("E", bound=Event)
T = TypeVar("T")

PARTITIONS = 8
CARDS = 64
SCALED = ("features", "scoring")
PAYMENTS_MORE = 200
PAUSE_SECONDS = 0.02  # on a busy machine processes take long to come, and the load must not outgrow the comparison
PATIENCE_SECONDS = 90.0


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Begins with one process of each service; every test goes on from where the one before has left it."""
    home = tmp_path_factory.mktemp("platform")
    with Platform(home, {"HEADRACE_TOPIC_PARTITIONS": str(PARTITIONS)}, services=SCALED) as running:
        running.start(lambda _: None)
        yield running


class Load:
    """Payments, one after the other, from a thread of its own for as long as it is open.

    A card always pays the same merchant, so that all that a vector is made of comes from one partition, in its order.
    """

    def __init__(self, bus: Bus, name: str) -> None:
        self.name = name
        self.sent: list[Transaction] = []
        self._bus = bus
        self._chance = random.Random(name)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        self.more()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def more(self) -> None:
        """Return when PAYMENTS_MORE have been sent from now on."""
        target, deadline = len(self.sent) + PAYMENTS_MORE, time.monotonic() + PATIENCE_SECONDS
        while len(self.sent) < target:
            assert time.monotonic() < deadline, f"{len(self.sent)} of {target} payments were sent"
            time.sleep(PAUSE_SECONDS)

    def _send(self) -> None:
        publisher = self._bus.publisher()
        while not self._done.wait(PAUSE_SECONDS):
            made = self._payment(len(self.sent))
            publisher.send(Outgoing(TRANSACTIONS.name, made.card_id.encode(), codec.encode(made)))
            self.sent.append(made)
        publisher.close()

    def _payment(self, number: int) -> Transaction:
        card = f"{self.name}-card-{self._chance.randrange(CARDS)}"
        return payment(
            f"{self.name}-{number}",
            after=timedelta(minutes=number),
            card_id=card,
            merchant_id=f"{card}-merchant",
            amount=self._chance.randrange(100_000),
        )


def test_one_two_and_four_of_each_share_the_load(platform: Platform) -> None:
    with Load(platform.bus(), "growing") as load:
        for count in (2, 4):
            for service in SCALED:
                while f"{service}-{count}" not in platform.addresses.services:
                    platform.add_replica(service)
            load.more()
    assert_as_undisturbed(platform.bus(), load)
    read = {name: records_read(url) for name, url in platform.addresses.services.items()}
    assert len(read) == 2 * 4
    assert min(read.values()) > 0, read


def test_processes_that_are_killed_are_replaced_by_the_others(platform: Platform) -> None:
    with Load(platform.bus(), "killed") as load:
        for service in SCALED:
            platform.service(f"{service}-4").kill()
        load.more()
    assert_as_undisturbed(platform.bus(), load)
    assert [failure.partition(";")[0] for failure in platform.failures()] == [
        f"{service}-4 was ended by signal 9" for service in SCALED
    ]


def test_processes_that_are_stopped_hand_over_until_one_of_each_is_left(platform: Platform) -> None:
    with Load(platform.bus(), "leaving") as load:
        for service in SCALED:
            while f"{service}-2" in platform.addresses.services:
                platform.remove_replica(service)
        load.more()
    assert_as_undisturbed(platform.bus(), load)
    assert tuple(platform.addresses.services) == SCALED
    assert platform.failures() == []


def assert_as_undisturbed(bus: Bus, load: Load) -> None:
    """Compare what became of the load, card by card and in order, with what one process without trouble makes of it."""
    wait_until_decided(bus, load)
    decided = [(decision.card_id, decision.transaction_id) for decision in events_of(bus, SCORES, Decision)]
    assert by_card(decided, load) == by_card([(sent.card_id, sent.transaction_id) for sent in load.sent], load)
    undisturbed = features_handler()(
        [Delivery(Record(TRANSACTIONS.name, 0, at, b"", b"", 0), sent) for at, sent in enumerate(load.sent)]
    )
    wanted = [codec.decode(FeatureVector, outgoing.value) for outgoing in undisturbed]
    served = events_of(bus, FEATURES, FeatureVector)
    assert by_card(map(vector_of_card, served), load) == by_card(map(vector_of_card, wanted), load)


def wait_until_decided(bus: Bus, load: Load) -> None:
    """Return when every payment of the load is decided and no group has anything left to do."""
    left = {sent.transaction_id for sent in load.sent}
    deadline = time.monotonic() + PATIENCE_SECONDS
    with closing(bus.tail([SCORES.name], start="oldest")) as tail:
        while left or waiting(bus):
            assert time.monotonic() < deadline, f"{len(left)} of {len(load.sent)} payments were not decided"
            left -= {codec.decode(Decision, r.value or b"").transaction_id for r in tail.poll(wait_seconds=0.2)}


def waiting(bus: Bus) -> int:
    groups = {"headrace-features-windows": TRANSACTIONS.name, "headrace-scoring-decisions": FEATURES.name}
    return sum(sum(bus.group_lag(group, [topic]).values()) for group, topic in groups.items())


def events_of(bus: Bus, topic: Topic, event_type: type[E]) -> list[E]:
    """Return everything on a topic; in order, within a partition and so of a card."""
    events: list[E] = []
    with closing(bus.tail([topic.name], start="oldest")) as tail:
        while not tail.caught_up():
            events += [codec.decode(event_type, record.value or b"") for record in tail.poll(wait_seconds=0.2)]
    return events


def vector_of_card(vector: FeatureVector) -> tuple[str, tuple[str, Sequence[float]]]:
    return vector.transaction.card_id, (vector.transaction.transaction_id, vector.values)


def by_card(told: Iterable[tuple[str, T]], load: Load) -> dict[str, list[T]]:
    """Return what was told of each of the load's cards, in order."""
    found: defaultdict[str, list[T]] = defaultdict(list)
    for card, what in told:
        if card.startswith(load.name):
            found[card].append(what)
    return found


def records_read(url: str) -> float:
    """Return how many records a process has read and committed."""
    samples = parse_exposition(httpx.get(f"{url}/metrics").text)
    return sum(sample.value for sample in samples if sample.name == "headrace_records_consumed_total")
