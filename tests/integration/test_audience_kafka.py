"""The audience and the bandit on a real broker and a real store: what counts, and what a second replica comes to."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest

from services.scoring.recommendations.audience import DAYS_KEPT, Audience
from services.scoring.recommendations.bandit import Bandit
from services.scoring.recommendations.following import Follower
from services.scoring.recommendations.trust import Trust, distrust_text
from shared.bus.base import Outgoing
from shared.bus.kafka import KafkaBus
from shared.contracts import codec
from shared.contracts.ids import new_trace_id
from shared.contracts.shopping import Impression, Interaction
from shared.contracts.topics import IMPRESSIONS, INTERACTIONS, TOPICS
from shared.recommendation.history import distrust_key
from shared.runtime.clock import SystemClock
from shared.store.redis import RedisStore
from tests.unit.scoring.recommendations.shop_events import click, impression, interaction
from tests.unit.scoring.scoring_scene import wait_until

pytestmark = pytest.mark.servers


class Shop:
    """Followers of a log that is shared, so items and shoppers have names of this test's own."""

    def __init__(self, bus: KafkaBus, store: RedisStore) -> None:
        self.name = new_trace_id()
        self._bus = bus
        self._store = store
        self._clock = SystemClock()
        self._publisher = bus.publisher()
        bus.create_topics(TOPICS)

    def write(self, *events: Interaction | Impression) -> None:
        for event in events:
            topic = IMPRESSIONS if isinstance(event, Impression) else INTERACTIONS
            at_ms = int(event.occurred_at.timestamp() * 1000)
            self._publisher.send(Outgoing(topic.name, event.user_id.encode(), codec.encode(event), at_ms)).result(30)

    def view(self, user: str, item: str, *, ago: timedelta = timedelta()) -> Interaction:
        return interaction(f"{user}-{self.name}", f"{item}-{self.name}", at=self._clock.now() - ago)

    def shown(self, item: str, *, ago: timedelta = timedelta()) -> Impression:
        name = f"{item}-{self.name}"
        return impression(f"r-{name}-{ago}", [name], at=self._clock.now() - ago, user_id=f"u-{self.name}")

    def distrust(self, user: str) -> None:
        key = distrust_key(f"{user}-{self.name}")
        self._store.put(key, distrust_text(0.75), expire_after=timedelta(minutes=5))

    def audience(self) -> Audience:
        return Audience(self._bus, Trust(self._store), self._clock, future_max=timedelta(seconds=5))

    def bandit(self) -> Bandit:
        return Bandit(self._bus, Trust(self._store), self._clock, popularity=lambda _: 0.0)

    def popular(self, audience: Audience) -> dict[str, float]:
        """Return the counts of this test's items; a few minutes do not show in them."""
        ranking = ((*name.partition("-"), score) for name, score in audience.popular())
        return {item: round(score, 2) for item, _, shop, score in ranking if shop == self.name}

    def is_learned(self, item: str, *bandits: Bandit) -> bool:
        """Tell whether each knows as many clicks on an item as trials; there was one of each, on whatever day."""
        known = [bandit.trials(f"{item}-{self.name}") for bandit in bandits]
        return all(0 < shown == clicked for shown, clicked in known)


@pytest.fixture
def shop(kafka_bus: KafkaBus, redis_url: str) -> Iterator[Shop]:
    store = RedisStore(redis_url, timeout_seconds=2.0)
    yield Shop(kafka_bus, store)
    store.close()


@contextmanager
def following(*followers: Follower) -> Iterator[None]:
    stop = threading.Event()
    with ExitStack() as ending:
        for follower in followers:
            thread = threading.Thread(target=follower.run, args=(stop,))
            thread.start()
            ending.callback(thread.join)
        ending.callback(stop.set)
        yield


def test_what_shoppers_do_counts_unless_it_is_old_and_less_where_they_are_distrusted(shop: Shop) -> None:
    shop.distrust("fake")
    shop.write(shop.view("u1", "old", ago=timedelta(days=DAYS_KEPT + 2)), shop.view("u1", "a"))
    audience = shop.audience()
    with following(audience):
        wait_until(lambda: shop.popular(audience) == {"a": 1}, "what was there counts")
        shop.write(shop.view("u2", "a"), shop.view("fake", "b"))
        wait_until(lambda: shop.popular(audience) == {"a": 2, "b": 0.25}, "what came later counts")
        assert audience.problem() is None


def test_a_click_on_an_explored_item_is_learned_and_every_replica_comes_to_the_same(shop: Shop) -> None:
    before = shop.shown("before", ago=timedelta(minutes=1))
    shop.write(click(before), before)
    first, second = shop.bandit(), shop.bandit()
    with following(first, second):
        wait_until(lambda: shop.is_learned("before", first), "what was there is learned")
        now = shop.shown("now")
        shop.write(now, click(now), click(now))
        wait_until(lambda: shop.is_learned("now", first, second), "both learn the click, once")
    assert first._known.draws.tobytes() == second._known.draws.tobytes()
