"""Scoring is killed under payments that come over REST: what was answered is the one decision, and counts once."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus

import httpx
import pytest

from services.local.platform import Platform
from shared.bus.base import Bus, Outgoing
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, Transaction
from shared.contracts.topics import FEATURES, SCORES, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.models.packages import Packages
from tests.events import payment
from tests.unit.scoring.scoring_scene import promote, register

pytestmark = pytest.mark.servers

COUNT, CARDS, CALLERS, KILLS = 600, 20, 8, 3
PATIENCE_POLLS = 600
RETRY_SECONDS = 0.05
ATTEMPTS_MAX = 2_000
COUNT_30D = FRAUD.feature_names.index("card_count_30d")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("platform"), services=["features", "scoring"]) as running:
        running.start(lambda _: None)
        promote(running.bus(), register(Packages(running.home / "models"), 1))
        yield running


def payments(first: int, count: int) -> list[Transaction]:
    return [
        payment(f"rest-{number}", after=timedelta(seconds=number), card_id=f"card-{number % CARDS}", amount=number * 90)
        for number in range(first, first + count)
    ]


class Callers:
    """Post payments, again and again until they are answered; every third is streamed as well, behind its answer."""

    def __init__(self, platform: Platform) -> None:
        self._client = httpx.Client(base_url=platform.addresses.services["scoring"], timeout=10)
        self._publisher = platform.bus().publisher()
        self._pause = threading.Event()
        self.answers: dict[str, bytes] = {}
        self.repeated = 0

    def post(self, events: Sequence[Transaction]) -> None:
        with ThreadPoolExecutor(CALLERS) as threads:
            for _ in threads.map(self._post, events):
                pass

    def _post(self, event: Transaction) -> None:
        for attempt in range(ATTEMPTS_MAX):
            try:
                answer = self._client.post("/v1/score", content=codec.encode(event))
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == HTTPStatus.OK:
                self.answers[event.transaction_id] = b"{" + answer.content.split(b",", 1)[1]
                self.repeated += attempt > 0
                break
            assert answer is None or answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE, answer.text
            self._pause.wait(RETRY_SECONDS)
        else:
            pytest.fail(f"{event.transaction_id} was never answered")
        if int(event.transaction_id.removeprefix("rest-")) % 3 == 0:
            self._publisher.send(Outgoing(TRANSACTIONS.name, event.card_id.encode(), codec.encode(event)))


def killed_while(platform: Platform, callers: Callers, events: list[Transaction]) -> None:
    """Kill scoring some times while `events` are posted."""
    posting = threading.Thread(target=callers.post, args=(events,))
    posting.start()
    for kill in range(1, KILLS + 1):
        while len(callers.answers) < len(events) * kill // (KILLS + 1):
            posting.join(0.01)
            assert posting.is_alive()
        platform.service("scoring").kill()
        platform.service("scoring").start()
    posting.join()


def decisions_on(bus: Bus, count: int) -> list[bytes]:
    """Return what is on `scores` once `count` payments are decided and no group has anything left to do."""
    tail = bus.tail([SCORES.name], start="oldest")
    values: list[bytes] = []
    for _ in range(PATIENCE_POLLS):
        values += [record.value or b"" for record in tail.poll(wait_seconds=0.2)]
        if len({codec.decode(Decision, value).transaction_id for value in values}) >= count and nothing_waits(bus):
            return values + [record.value or b"" for record in tail.poll(wait_seconds=1.0)]
    raise AssertionError(f"{len(values)} of {count} decisions came")


def nothing_waits(bus: Bus) -> bool:
    groups = {"headrace-features-windows": TRANSACTIONS.name, "headrace-scoring-decisions": FEATURES.name}
    return all(sum(bus.group_lag(group, [topic]).values()) == 0 for group, topic in groups.items())


def test_every_answer_is_the_one_decision_and_every_payment_counts_once(platform: Platform) -> None:
    callers, bus = Callers(platform), platform.bus()
    killed_while(platform, callers, payments(0, COUNT))
    assert len(callers.answers) == COUNT
    assert callers.repeated > 0, "no request was cut by a kill"
    last = payments(COUNT, CARDS)
    callers.post(last)
    found = [(codec.decode(Decision, value).transaction_id, value) for value in decisions_on(bus, COUNT + CARDS)]
    assert set(Counter(name for name, _ in found).values()) == {1}
    assert dict(found) == callers.answers
    assert counted(bus, last) == [COUNT // CARDS + 1] * CARDS


def counted(bus: Bus, events: list[Transaction]) -> list[float]:
    """Return how many payments of its card each of `events` saw, itself among them."""
    tail = bus.tail([FEATURES.name], start="oldest")
    seen: dict[str, float] = {}
    while not tail.caught_up():
        for record in tail.poll(wait_seconds=0.2):
            vector = codec.decode(FeatureVector, record.value or b"")
            seen[vector.transaction.transaction_id] = vector.values[COUNT_30D]
    return [seen[event.transaction_id] for event in events]
