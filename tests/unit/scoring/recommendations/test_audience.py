"""What is popular and trending: what fades, what makes no trend, who counts less, and the same after a restart."""

import random
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.scoring.recommendations.audience import DAYS_KEPT, Audience
from services.scoring.recommendations.trust import Trust, distrust_text
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.shopping import Interaction
from shared.contracts.topics import INTERACTIONS, TOPICS
from shared.recommendation.history import distrust_key
from shared.runtime.clock import ManualClock
from shared.store.base import StoreUnavailableError
from shared.store.memory import MemoryStore
from tests.events import START
from tests.unit.scoring.recommendations.shop_events import interaction
from tests.unit.scoring.scoring_scene import wait_until

FUTURE_MAX = timedelta(minutes=5)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.store = MemoryStore(self.clock)
        self.bus = MemoryBus(partitions=2)
        self.audience = self.another()

    def another(self) -> Audience:
        return Audience(self.bus, Trust(self.store), self.clock, future_max=FUTURE_MAX)

    def take(self, events: Sequence[Interaction]) -> None:
        self.audience.take(events)
        self.audience.publish()

    def distrust(self, user_id: str, score: float) -> None:
        self.store.put(distrust_key(user_id), distrust_text(score), expire_after=None)

    def popular(self) -> dict[str, float]:
        return dict(self.audience.popular())

    def trending(self) -> list[str]:
        return [item_id for item_id, _ in self.audience.trending()]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def views(item_id: str, count: int, *, ago: timedelta = timedelta(), name: str = "u") -> list[Interaction]:
    return [interaction(f"{name}{n}", item_id, at=START - ago) for n in range(count)]


def test_buying_counts_more_than_looking_and_the_best_comes_first(scene: Scene) -> None:
    scene.take([*views("looked-at", 5), interaction("u1", "bought", "purchase"), interaction("u2", "hated", "dislike")])
    assert [*scene.popular()] == ["bought", "looked-at"]
    assert scene.popular() == pytest.approx({"bought": 6, "looked-at": 5})


def test_a_count_halves_in_three_days_and_is_gone_after_the_days_kept(scene: Scene) -> None:
    scene.take([*views("old", 8, ago=3 * DAY), *views("new", 8)])
    assert scene.popular() == pytest.approx({"new": 8, "old": 4})
    scene.clock.advance((DAYS_KEPT - 2) * DAY)
    scene.audience.publish()
    assert set(scene.popular()) == {"new"}
    scene.take(views("too-old", 50, ago=4 * DAY))
    assert set(scene.popular()) == {"new"}


def test_one_shopper_counts_once_an_item_and_day_however_often_he_clicks(scene: Scene) -> None:
    scene.take([interaction("bot", "pushed", at=START - timedelta(seconds=n)) for n in range(1_000)])
    scene.take([*views("liked", 3)])
    assert [*scene.popular()] == ["liked", "pushed"]
    assert scene.popular() == pytest.approx({"liked": 3, "pushed": 1}, rel=0.01)


def test_a_record_that_comes_twice_changes_nothing(scene: Scene) -> None:
    events = [*views("a", 5), *views("b", 7, ago=30 * HOUR), *views("c", 2, ago=4 * DAY)]
    scene.take(events)
    once = scene.popular()
    scene.take(events)
    scene.take(events[::-1])
    assert scene.popular() == once


def test_what_is_dated_ahead_of_the_clock_does_not_count(scene: Scene) -> None:
    scene.take([interaction("u1", "ahead", at=START + HOUR), interaction("u2", "now", at=START + FUTURE_MAX)])
    assert set(scene.popular()) == {"now"}


def test_neither_a_steady_seller_nor_a_single_click_is_a_trend_and_a_burst_is(scene: Scene) -> None:
    steady = [one for hour in range(100) for one in views("steady", 40, ago=hour * HOUR, name=f"s{hour}-")]
    usual = [one for hour in range(100) for one in views("burst", 1, ago=hour * HOUR, name=f"b{hour}-")]
    scene.take([*steady, *usual, *views("clicked-once", 1)])
    assert scene.trending() == []
    scene.take(views("burst", 60, name="crowd"))
    assert scene.trending() == ["burst"]


def test_a_busy_hour_for_everything_is_no_trend(scene: Scene) -> None:
    for item in ("a", "b", "c"):
        scene.take([one for hour in range(1, 100) for one in views(item, 2, ago=hour * HOUR, name=f"h{hour}-")])
        scene.take(views(item, 100, name="crowd"))
    assert scene.trending() == []


def test_a_trend_ends_when_time_passes(scene: Scene) -> None:
    scene.take([one for hour in range(100) for one in views("steady", 40, ago=hour * HOUR, name=f"s{hour}-")])
    scene.take(views("burst", 60))
    assert scene.trending() == ["burst"]
    scene.clock.advance(DAY)
    scene.audience.publish()
    assert scene.trending() == []


def test_shoppers_whose_payments_were_declined_count_less(scene: Scene) -> None:
    for n in range(50):
        scene.distrust(f"fake{n}", 0.98)
    scene.take([*views("honest", 10), *views("pushed", 50, name="fake")])
    assert [*scene.popular()] == ["honest", "pushed"]
    assert scene.popular() == pytest.approx({"honest": 10, "pushed": 1})


def test_while_the_store_is_away_everybody_counts_in_full() -> None:
    class Away(MemoryStore):
        def append_and_read(self, *_: object, **__: object) -> list[bytes]:
            raise StoreUnavailableError("away")

    clock = ManualClock(START)
    audience = Audience(MemoryBus(partitions=1), Trust(Away(clock)), clock, future_max=FUTURE_MAX)
    audience.take(views("a", 3))
    audience.publish()
    assert dict(audience.popular()) == pytest.approx({"a": 3})


def test_popularity_runs_from_unheard_of_to_the_most_popular(scene: Scene) -> None:
    scene.take([*views("most", 100), *views("some", 9)])
    assert scene.audience.popularity("most") == 1
    assert 0.4 < scene.audience.popularity("some") < 0.6
    assert scene.audience.popularity("unheard-of") == 0


def test_one_that_starts_late_comes_to_the_same_as_one_that_always_ran(scene: Scene) -> None:
    chance = random.Random(3)
    names = [f"i{n}" for n in range(30)]
    events = [
        interaction(f"u{chance.randrange(200)}", chance.choice(names), at=START - chance.random() * 12 * DAY)
        for _ in range(3_000)
    ]
    scene.bus.create_topics(TOPICS)
    publisher = scene.bus.publisher()
    scene.clock.advance(-12 * DAY)
    for event in sorted(events, key=lambda event: event.occurred_at):
        if event.occurred_at > scene.clock.now():
            scene.clock.advance(max(DAY / 4, event.occurred_at - scene.clock.now()))
        scene.audience.take([event])
        at_ms = int(event.occurred_at.timestamp() * 1000)
        publisher.send(Outgoing(INTERACTIONS.name, event.user_id.encode(), codec.encode(event), at_ms))
    scene.audience.publish()
    publisher.send(Outgoing(INTERACTIONS.name, b"u1", b"not an event"))
    late, stop = scene.another(), threading.Event()
    thread = threading.Thread(target=late.run, args=(stop,))
    assert "not been read" in (late.problem() or "")
    thread.start()
    try:
        wait_until(lambda: late.problem() is None, "the late one has read the topic")
    finally:
        stop.set()
        thread.join()
    assert dict(late.popular()) == pytest.approx(scene.popular())
    assert len(late.popular()) == len(names)
