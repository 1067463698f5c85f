"""Interactions and users from the log into the store, and what the service sets aside of them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.features.app import build
from services.features.settings import FeaturesSettings
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import DeadLetter, Event
from shared.contracts.shopping import Interaction
from shared.contracts.topics import INTERACTIONS, TOPICS, USERS
from shared.features.state import identity
from shared.recommendation.history import history_of
from shared.runtime.clock import ManualClock
from shared.store.memory import MemoryStore
from tests.events import START
from tests.unit.features.shoppers import interaction, stored, user
from tests.unit.scoring.scoring_scene import running, wait_until

HOUR = timedelta(hours=1)


class Scene:
    """A features service over a log and a store in memory."""

    def __init__(self, home: Path) -> None:
        self.bus, self.store = MemoryBus(partitions=2), MemoryStore(ManualClock(START))
        self.bus.create_topics(TOPICS)
        self.service = build(FeaturesSettings(headrace_home=home), self.bus, self.store, ManualClock(START))

    def write(self, *events: Event) -> None:
        for event in events:
            topic = INTERACTIONS if isinstance(event, Interaction) else USERS
            self.bus.publisher().send(Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event)))

    def items(self) -> list[int]:
        return [int(record["item"]) for record in history_of(stored(self.store))]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    with running(made.service):
        yield made


def test_what_is_on_the_log_is_in_the_store(scene: Scene) -> None:
    known = user(attributes={"country": "DE"})
    scene.write(interaction("a"), known, interaction("b", after=timedelta(seconds=1)))
    wait_until(lambda: scene.items() == [identity("b"), identity("a")], "the history")
    wait_until(lambda: codec.encode(known) in scene.store._values.values(), "the profile's bytes")


def test_an_interaction_ahead_of_the_clock_and_noise_are_set_aside_with_their_reason(scene: Scene) -> None:
    scene.write(interaction("ahead", after=HOUR))
    scene.bus.publisher().send(Outgoing(INTERACTIONS.name, b"u1", b"no interaction"))
    scene.bus.publisher().send(Outgoing(USERS.name, b"u2", codec.encode(user("u1"))))
    scene.write(interaction("good"))
    tail = scene.bus.tail([INTERACTIONS.dead_letter_name, USERS.dead_letter_name], start="oldest")
    letters: list[DeadLetter] = []

    def count() -> int:
        letters.extend(codec.decode(DeadLetter, record.value or b"") for record in tail.poll(wait_seconds=0))
        return len(letters)

    wait_until(lambda: count() == 3, "three dead letters")
    assert {letter.error for letter in letters} == {"ahead_of_clock", "not_json", "wrong_key"}
    wait_until(lambda: scene.items() == [identity("good")], "the good one")


def test_a_history_is_kept_for_as_long_as_the_settings_say(tmp_path: Path) -> None:
    clock = ManualClock(START)
    bus, store = MemoryBus(partitions=1), MemoryStore(clock)
    bus.create_topics(TOPICS)
    settings = FeaturesSettings(headrace_home=tmp_path, headrace_features_history_days=2)
    event = interaction("a")
    bus.publisher().send(Outgoing(INTERACTIONS.name, b"u1", codec.encode(event)))
    with running(build(settings, bus, store, clock)):
        wait_until(lambda: stored(store) != b"", "the history")
    clock.advance(2 * 24 * HOUR)
    assert stored(store) == b""
