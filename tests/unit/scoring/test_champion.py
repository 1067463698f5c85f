"""Which model is in service: the one promoted last, if it is whole; else the one before."""

from pathlib import Path

import pytest
from fastapi import FastAPI

from services.scoring.champion import Champion
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts.topics import TOPICS
from shared.models.manifest import MODEL_NAME
from shared.models.packages import Packages
from shared.runtime import metrics
from shared.runtime.service import Service
from tests.model_events import Action
from tests.unit.scoring.scoring_scene import announce, model_file, promote, register, running, wait_until


def new_champion(home: Path) -> tuple[MemoryBus, Packages, Champion]:
    bus = MemoryBus(partitions=1)
    bus.create_topics(TOPICS)
    packages = Packages(home / "models")
    return bus, packages, Champion(bus, packages, model_name=MODEL_NAME, retry_seconds=0.01)


def service(champion: Champion) -> Service:
    return Service(name="test", app=FastAPI(), workers=(champion,))


def version(champion: Champion) -> int:
    return champion.model.manifest.model_version if champion.model else 0


def load_failures() -> float:
    return metrics.REGISTRY.get_sample_value("headrace_model_load_failures_total", {"model": MODEL_NAME}) or 0.0


def test_it_is_ready_without_a_model_once_it_knows_that_there_is_none(tmp_path: Path) -> None:
    _, _, champion = new_champion(tmp_path)
    assert champion.problem() is not None
    with running(service(champion)):
        wait_until(lambda: champion.problem() is None, "ready")
    assert champion.model is None


def test_a_promotion_takes_over_while_running_and_is_found_again_after_a_restart(tmp_path: Path) -> None:
    bus, packages, champion = new_champion(tmp_path)
    promote(bus, register(packages, 1))
    with running(service(champion)):
        wait_until(lambda: version(champion) == 1, "version 1 in service")
        promote(bus, register(packages, 2))
        wait_until(lambda: version(champion) == 2, "version 2 in service")
    restarted = Champion(bus, packages, model_name=MODEL_NAME, retry_seconds=0.01)
    with running(service(restarted)):
        wait_until(lambda: restarted.problem() is None, "ready")
        assert version(restarted) == 2


def test_a_rollback_takes_over_while_running_and_is_found_again_after_a_restart(tmp_path: Path) -> None:
    bus, packages, champion = new_champion(tmp_path)
    first, second = register(packages, 1), register(packages, 2)
    promote(bus, first)
    promote(bus, second)
    with running(service(champion)):
        wait_until(lambda: version(champion) == 2, "version 2 in service")
        announce(bus, "rolled_back", first)
        wait_until(lambda: version(champion) == 1, "version 1 in service again")
    restarted = Champion(bus, packages, model_name=MODEL_NAME, retry_seconds=0.01)
    with running(service(restarted)):
        wait_until(lambda: restarted.problem() is None, "ready")
        assert version(restarted) == 1


def test_a_rollback_ends_the_attempts_to_load_a_version_that_is_broken(tmp_path: Path) -> None:
    bus, packages, champion = new_champion(tmp_path)
    first, second = register(packages, 1), register(packages, 2)
    model_file(tmp_path, 2).write_bytes(b"noise")
    promote(bus, first)
    with running(service(champion)):
        wait_until(lambda: version(champion) == 1, "version 1 in service")
        failures = load_failures()
        promote(bus, second)
        wait_until(lambda: load_failures() > failures, "version 2 cannot be loaded")
        announce(bus, "rolled_back", first)
        wait_until(champion._in_service, "what is in force is in service")
        assert version(champion) == 1


@pytest.mark.parametrize("action", ["registered", "refused", "shadowed", "archived"])
def test_what_else_is_announced_changes_nothing(tmp_path: Path, action: Action) -> None:
    bus, packages, champion = new_champion(tmp_path)
    promote(bus, register(packages, 1))
    announce(bus, action, register(packages, 2))
    with running(service(champion)):
        wait_until(lambda: champion.problem() is None, "ready")
        assert version(champion) == 1


def test_one_flipped_byte_keeps_a_model_out_and_the_old_one_in_until_it_is_mended(tmp_path: Path) -> None:
    bus, packages, champion = new_champion(tmp_path)
    promote(bus, register(packages, 1))
    with running(service(champion)):
        wait_until(lambda: version(champion) == 1, "version 1 in service")
        second = register(packages, 2, above=60_000)
        file = model_file(tmp_path, 2)
        whole = file.read_bytes()
        file.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        failures = load_failures()
        promote(bus, second)
        wait_until(lambda: load_failures() > failures + 2, "failures counted, and tried again")
        assert version(champion) == 1
        file.write_bytes(whole)
        wait_until(lambda: version(champion) == 2, "the mended version in service")


def test_noise_on_the_models_topic_is_passed_over(tmp_path: Path) -> None:
    bus, packages, champion = new_champion(tmp_path)
    bus.publisher().send(Outgoing("models", b"fraud", b"noise"))
    promote(bus, register(packages, 1))
    with running(service(champion)):
        wait_until(lambda: version(champion) == 1, "version 1 in service")
