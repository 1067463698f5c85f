"""Followers read from some days ago, on through outages, and again when what they read could not be judged."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from services.scoring.recommendations.audience import Audience
from services.scoring.recommendations.following import PUBLISH_SECONDS, READ_AGAIN_SECONDS, Follower
from services.scoring.recommendations.trust import Trust, distrust_text
from shared.bus.base import BusUnavailableError, Outgoing, Record, Tail
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.topics import INTERACTIONS, TOPICS
from shared.recommendation.history import distrust_key
from shared.runtime.clock import ManualClock
from shared.store.base import StoreUnavailableError
from shared.store.memory import MemoryStore
from tests.events import START
from tests.unit.scoring.recommendations.shop_events import interaction
from tests.unit.scoring.scoring_scene import wait_until


class BreakingTail:
    """A tail that breaks when told to."""

    def __init__(self, tail: Tail, breaks: threading.Event) -> None:
        self._tail = tail
        self._breaks = breaks
        self.caught_up = tail.caught_up
        self.close = tail.close

    def poll(self, *, wait_seconds: float, records_max: int = 10_000) -> list[Record]:
        if self._breaks.is_set():
            self._breaks.clear()
            raise BusUnavailableError("the broker went away")
        return self._tail.poll(wait_seconds=min(wait_seconds, 0.01), records_max=records_max)


class BreakingBus(MemoryBus):
    def __init__(self) -> None:
        super().__init__(partitions=2)
        self.breaks = threading.Event()
        self.tails = 0
        self.create_topics(TOPICS)

    def tail(self, *args: object, **options: object) -> BreakingTail:  # type: ignore[override]
        self.tails += 1
        return BreakingTail(super().tail(*args, **options), self.breaks)  # type: ignore[arg-type]


class AbsentStore(MemoryStore):
    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.is_away = False

    def append_and_read(self, *args: object, **options: object) -> list[bytes]:
        if self.is_away:
            raise StoreUnavailableError("the store is away")
        return super().append_and_read(*args, **options)  # type: ignore[arg-type]

    def reachable(self) -> bool:
        return not self.is_away


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.bus = BreakingBus()
        self.store = AbsentStore(self.clock)
        self.audience = Audience(self.bus, Trust(self.store), self.clock, future_max=timedelta())

    def send(self, user_id: str, item_id: str, *, at: datetime = START) -> None:
        event = interaction(user_id, item_id, at=at)
        at_ms = int(at.timestamp() * 1000)
        self.bus.publisher().send(Outgoing(INTERACTIONS.name, user_id.encode(), codec.encode(event), at_ms))

    def counts(self) -> dict[str, float]:
        return {item_id: round(score, 1) for item_id, score in self.audience.popular()}

    def wait_for(self, counts: dict[str, float]) -> None:
        """Let time pass until these are the counts."""

        def reached() -> bool:
            self.clock.advance(timedelta(milliseconds=100))
            return self.counts() == counts

        wait_until(reached, f"counts {counts}")


@contextmanager
def following(follower: Follower) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_it_is_ready_once_it_has_read_what_was_there() -> None:
    scene = Scene()
    scene.send("u1", "a")
    assert scene.audience.problem() == "interactions have not been read yet"
    with following(scene.audience):
        wait_until(lambda: scene.audience.problem() is None, "it has read the topic")
        assert scene.counts() == {"a": 1}


def test_what_comes_later_counts_within_a_second_or_so() -> None:
    scene = Scene()
    with following(scene.audience):
        wait_until(lambda: scene.audience.problem() is None, "it has read the topic")
        scene.send("u1", "a")
        scene.clock.advance(timedelta(seconds=PUBLISH_SECONDS))
        wait_until(lambda: scene.counts() == {"a": 1}, "the interaction counts")


def test_when_the_log_was_away_everything_counts_once_and_nothing_is_missing() -> None:
    scene = Scene()
    scene.send("u1", "a")
    with following(scene.audience):
        scene.wait_for({"a": 1})
        scene.send("u2", "a")
        scene.bus.breaks.set()
        wait_until(lambda: scene.bus.tails == 2, "the log is read again")
        scene.send("u3", "b")
        scene.wait_for({"a": 2, "b": 1})
        assert scene.audience.problem() is None


def test_what_was_read_while_the_store_was_away_is_judged_once_it_is_back() -> None:
    scene = Scene()
    scene.store.put(distrust_key("fake"), distrust_text(0.9), expire_after=None)
    scene.store.is_away = True
    scene.send("fake", "a")
    with following(scene.audience):
        scene.wait_for({"a": 1})
        scene.store.is_away = False
        scene.clock.advance(timedelta(seconds=READ_AGAIN_SECONDS))
        scene.wait_for({"a": 0.1})
        assert scene.bus.tails == 2
