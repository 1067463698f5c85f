"""Whoever comes in between: people, other processes, crashes, the next version."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from services.training.rollout.stages import Rollouts, rollouts
from shared.bus.base import BusUnavailableError, Outgoing
from shared.bus.memory import MemoryBus, MemorySoleWriter
from shared.contracts.topics import MODELS
from shared.features.catalog.fraud import FRAUD
from tests.model_events import Action
from tests.unit.training.rollout_scene import HOUR, Scene, blind, knowing


class SilentOnce(MemoryBus):
    """A log that takes what is written and goes away before it says so, once it is told to."""

    silent = False

    def sole_writer(self, topic: str) -> MemorySoleWriter:
        writer = super().sole_writer(topic)
        if not self.silent:
            return writer
        self.silent = False
        write = writer.write

        def write_and_vanish(outgoing: list[Outgoing]) -> None:
            write(outgoing)
            raise BusUnavailableError("Kafka does not answer")

        writer.write = write_and_vanish  # type: ignore[method-assign, assignment]
        return writer


def under_way(scene: Scene) -> Rollouts:
    return rollouts(scene.log.history(), "fraud", FRAUD.version)


def stages(scene: Scene) -> list[tuple[str, int, int]]:
    return [(stage.name, stage.new, stage.before) for stage in under_way(scene).stages]


def in_watch(home: Path) -> Scene:
    scene = Scene(home)
    scene.announce("canaried", 2, actor="rollout", share=0.4)
    scene.announce("promoted", 2, actor="rollout")
    scene.announce("shadowed", 1, actor="rollout")
    assert stages(scene) == [("watch", 2, 1)]
    return scene


def test_a_step_that_was_written_without_an_answer_is_not_taken_twice(tmp_path: Path) -> None:
    scene = Scene(tmp_path, bus=SilentOnce(partitions=1))
    scene.pay(200)
    scene.bus.silent = True  # type: ignore[attr-defined]
    assert scene.look() == []
    assert (scene.last.action, scene.last.model_version) == ("canaried", 2)
    assert scene.look() == []
    assert stages(scene) == [("canary", 2, 1)]


def test_of_two_processes_that_see_the_same_one_takes_the_step(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.pay(200)
    slow, fast = scene.job(), scene.job()
    read = scene.archive.newest_event_time

    def overtaken(*arguments: object) -> object:
        scene.archive.newest_event_time = read  # type: ignore[method-assign]
        assert [event.action for event in fast.look()] == ["canaried"]
        return read(*arguments)  # type: ignore[arg-type]

    scene.archive.newest_event_time = overtaken  # type: ignore[method-assign, assignment]
    assert slow.look() == []
    assert [event.action for event in scene.log.history().events].count("canaried") == 1


@pytest.mark.parametrize(
    ("action", "version", "share"),
    [("withdrawn", 2, None), ("shadowed", 2, None), ("canaried", 2, 0.5), ("promoted", 2, None), ("archived", 2, None)],
)
def test_a_role_that_a_person_gives_or_takes_ends_the_rollout(
    tmp_path: Path, action: Action, version: int, share: float | None
) -> None:
    scene = Scene(tmp_path)
    scene.announce(action, version, actor="ada", share=share)
    assert under_way(scene) == ((), ())
    scene.pay(300)
    assert scene.look() == []


def test_a_trial_beside_a_version_that_is_no_longer_in_force_ends(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.pay(200)
    scene.announce("registered", 3)
    scene.announce("promoted", 3, actor="ada")
    assert scene.look() == [("withdrawn", 2)]
    assert scene.last.reason == "its rollout ends: version 3 came into force meanwhile"
    assert scene.look() == []


@pytest.mark.parametrize(("action", "version"), [("promoted", 3), ("rolled_back", 1)])
def test_a_watch_ends_when_a_person_decides_otherwise(tmp_path: Path, action: Action, version: int) -> None:
    scene = in_watch(tmp_path)
    scene.announce("registered", 3)
    scene.announce(action, version, actor="ada")
    assert scene.look() == ([("withdrawn", 1)] if action == "promoted" else [])
    assert under_way(scene) == ((), ())


def test_the_next_version_takes_the_place_of_the_one_that_is_tried(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.announce("canaried", 2, actor="rollout", share=0.4)
    scene.tried(3)
    assert scene.look() == [("withdrawn", 2)]
    assert scene.last.reason == "its rollout ends: version 3 is tried in its place"
    assert stages(scene) == [("shadow", 3, 1)]
    scene.pay(200)
    assert scene.look() == [("canaried", 3)]


def test_a_watch_goes_on_beside_the_next_trial_until_that_is_promoted(tmp_path: Path) -> None:
    scene = in_watch(tmp_path)
    scene.tried(3)
    assert stages(scene) == [("watch", 2, 1), ("shadow", 3, 2)]
    scene.pay(200)
    assert scene.look() == [("canaried", 3)]
    scene.pay(300)
    assert scene.look() == [("promoted", 3), ("shadowed", 2)]
    assert scene.look() == [("withdrawn", 1)]
    assert stages(scene) == [("watch", 3, 2)]


def test_a_rollback_in_the_watch_ends_the_next_trial_too(tmp_path: Path) -> None:
    scene = in_watch(tmp_path)
    scene.models[2] = blind
    scene.tried(3)
    scene.changes = {"shadow_payments": 10_000}
    scene.pay(300)
    scene.clock.advance(6 * HOUR)
    scene.pay(1)
    assert scene.look() == [("rolled_back", 1)]
    assert scene.look() == [("withdrawn", 3)]
    assert "version 1 came into force meanwhile" in scene.last.reason


def test_the_canary_of_a_person_is_not_pushed_aside(tmp_path: Path) -> None:
    scene = Scene(tmp_path, dict.fromkeys(range(1, 6), knowing))
    scene.announce("registered", 5)
    scene.announce("canaried", 5, actor="ada", share=0.2)
    scene.pay(400)
    assert scene.look() == []
    scene.announce("withdrawn", 5, actor="ada")
    assert scene.look() == [("canaried", 2)]


def test_a_person_who_makes_another_canary_ends_ours(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.announce("canaried", 2, actor="rollout", share=0.4)
    scene.announce("canaried", 5, actor="ada", share=0.2)
    assert under_way(scene) == ((), ())


def test_versions_for_features_that_are_no_longer_computed_come_no_further(tmp_path: Path) -> None:
    """Nobody gets a score then, so nothing would speak against them."""
    scene = Scene(tmp_path)
    scene.announce("registered", 3)
    scene.announce("shadowed", 3, feature_version="c" * 64)
    assert scene.look() == [("withdrawn", 2), ("withdrawn", 3)]
    assert scene.last.reason == "its rollout ends: version 3 was made for other features"


def test_models_of_another_name_are_left_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    others = [replace(event, model_name="recommendation") for event in scene.log.history().events]
    scene.log.append(lambda _: others)
    (stage,) = under_way(scene).stages
    assert stage.began.model_name == "fraud"
    scene.announce("promoted", 1, model_name="recommendation")
    assert stages(scene) == [("shadow", 2, 1)]
    assert rollouts(scene.log.history(), "churn", FRAUD.version) == ((), ())


def test_a_record_that_nobody_can_read_ends_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.bus.publisher().send(Outgoing(MODELS.name, b"fraud", b"{"))
    scene.pay(200)
    assert scene.look() == [("canaried", 2)]
    assert under_way(scene).overtaken == ()
