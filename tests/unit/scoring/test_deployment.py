"""Which models are in service: those that were given a role, if they are whole; else those before."""

from itertools import groupby
from pathlib import Path

import pytest
from fastapi import FastAPI

from services.scoring.deployment import Deployment
from services.scoring.model import loading
from services.scoring.policy.policy import BEFORE_THE_FIRST
from services.scoring.scorer import Scorer
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts.topics import TOPICS
from shared.models.manifest import MODEL_NAME, Manifest, Probe
from shared.models.packages import Packages
from shared.runtime import metrics
from shared.runtime.clock import SystemClock
from shared.runtime.service import Service
from tests.model_events import Action
from tests.unit.scoring.scoring_scene import announce, model_file, promote, register, running, wait_until
from tests.unit.scoring.test_decisions import vector


class Scene:
    """A log, models on this disk, and a deployment that follows them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bus = MemoryBus(partitions=1)
        self.bus.create_topics(TOPICS)
        self.packages = Packages(home / "models")
        self.restart()

    def restart(self) -> None:
        self.deployment = Deployment(
            self.bus, loading(self.packages), SystemClock(), model_name=MODEL_NAME, retry_seconds=0.01
        )

    @property
    def service(self) -> Service:
        return Service(name="test", app=FastAPI(), workers=(self.deployment,))

    @property
    def roles(self) -> tuple[int, int, list[int]]:
        """The versions in service: champion, canary, challengers; 0 where there is none."""
        roles = self.deployment.roles
        champion, canary = roles.champion, roles.canary.model if roles.canary else None
        deciding = (model.manifest.model_version if model else 0 for model in (champion, canary))
        return *deciding, [model.manifest.model_version for model in roles.challengers]  # type: ignore[return-value]

    def wait_for(self, champion: int, canary: int = 0, *challengers: int) -> None:
        wait_until(lambda: self.roles == (champion, canary, [*challengers]), f"{champion} {canary} {challengers}")

    def damage(self, version: int) -> bytes:
        file = model_file(self.home, version)
        whole = file.read_bytes()
        file.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        return whole


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def load_failures() -> float:
    return metrics.REGISTRY.get_sample_value("headrace_model_load_failures_total", {"model": MODEL_NAME}) or 0.0


def waiting(role: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("headrace_model_waiting_version", {"model": MODEL_NAME, "role": role})


def in_service(role: str, version: int) -> float | None:
    labels = {"model": MODEL_NAME, "role": role, "version": str(version)}
    return metrics.REGISTRY.get_sample_value("headrace_model_in_service", labels)


def test_it_is_ready_without_a_model_once_it_knows_that_there_is_none(scene: Scene) -> None:
    assert scene.deployment.problem() is not None
    with running(scene.service):
        wait_until(lambda: scene.deployment.problem() is None, "ready")
    assert scene.roles == (0, 0, [])


def test_every_role_is_taken_up_while_running_and_found_again_after_a_restart(scene: Scene) -> None:
    one, two, three, four = (register(scene.packages, version) for version in range(1, 5))
    promote(scene.bus, one)
    with running(scene.service):
        scene.wait_for(1)
        announce(scene.bus, "canaried", two, share=0.25)
        announce(scene.bus, "shadowed", three)
        announce(scene.bus, "shadowed", four)
        scene.wait_for(1, 2, 3, 4)
        announce(scene.bus, "withdrawn", three)
        scene.wait_for(1, 2, 4)
        promote(scene.bus, two)
        scene.wait_for(2, 0, 4)
        announce(scene.bus, "canaried", three, share=0.5)
        scene.wait_for(2, 3, 4)
        assert [in_service(*each) for each in (("champion", 2), ("canary", 3), ("challenger", 4))] == [1, 1, 1]
        assert [in_service(*each) for each in (("champion", 1), ("canary", 2), ("challenger", 3))] == [None] * 3
        announce(scene.bus, "rolled_back", one)
        scene.wait_for(1, 0, 4)
        announce(scene.bus, "canaried", two, share=0.125)
        scene.wait_for(1, 2, 4)
    scene.restart()
    with running(scene.service):
        scene.wait_for(1, 2, 4)
        assert scene.deployment.roles.canary is not None
        assert scene.deployment.roles.canary.share == 0.125


def test_its_age_and_how_long_a_swap_took_are_told(scene: Scene) -> None:
    def swaps() -> float:
        return metrics.REGISTRY.get_sample_value("headrace_model_swap_seconds_count", {"model": MODEL_NAME}) or 0.0

    def trained(role: str) -> float | None:
        name = "headrace_model_trained_timestamp_seconds"
        return metrics.REGISTRY.get_sample_value(name, {"model": MODEL_NAME, "role": role})

    one, two = register(scene.packages, 1), register(scene.packages, 2)
    promote(scene.bus, one)
    before = swaps()
    with running(scene.service):
        scene.wait_for(1)
        assert swaps() == before, "it was announced before this process began"
        announce(scene.bus, "canaried", two, share=0.5)
        scene.wait_for(1, 2)
        assert swaps() == before + 1
        assert (trained("champion"), trained("canary")) == (one.trained_at.timestamp(), two.trained_at.timestamp())
        promote(scene.bus, two)
        scene.wait_for(2)
        assert swaps() == before + 2
        assert (trained("champion"), trained("canary")) == (two.trained_at.timestamp(), None)


def test_a_share_that_grows_takes_effect_without_loading_the_canary_again(scene: Scene) -> None:
    one, two = register(scene.packages, 1), register(scene.packages, 2)
    promote(scene.bus, one)
    announce(scene.bus, "canaried", two, share=0.1)
    with running(scene.service):
        scene.wait_for(1, 2)
        before = scene.deployment.roles.canary
        announce(scene.bus, "canaried", two, share=0.2)
        wait_until(lambda: scene.deployment.roles.canary != before, "another share")
        after = scene.deployment.roles.canary
    assert before is not None
    assert after is not None
    assert (after.model, after.share) == (before.model, 0.2)


@pytest.mark.parametrize("action", ["registered", "refused", "archived", "withdrawn"])
def test_what_else_is_announced_changes_nothing(scene: Scene, action: Action) -> None:
    promote(scene.bus, register(scene.packages, 1))
    announce(scene.bus, action, register(scene.packages, 2))
    with running(scene.service):
        wait_until(lambda: scene.deployment.problem() is None, "ready")
        assert scene.roles == (1, 0, [])


def test_one_flipped_byte_keeps_a_model_out_and_the_old_one_in_until_it_is_mended(scene: Scene) -> None:
    promote(scene.bus, register(scene.packages, 1))
    with running(scene.service):
        scene.wait_for(1)
        second = register(scene.packages, 2, above=60_000)
        whole = scene.damage(2)
        failures = load_failures()
        promote(scene.bus, second)
        wait_until(lambda: load_failures() > failures + 2, "failures counted, and tried again")
        assert scene.roles == (1, 0, [])
        assert waiting("champion") == 2
        model_file(scene.home, 2).write_bytes(whole)
        scene.wait_for(2)
        wait_until(lambda: waiting("champion") == 0, "nobody waits")


def test_a_model_that_scores_a_probe_otherwise_than_where_it_was_made_stays_out(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    row = [0.0] * len(register(scene.packages, 1).feature_names)
    promote(scene.bus, register(scene.packages, 2, probes=[Probe(values=row, score=0.5)]))
    failures = load_failures()
    with running(scene.service):
        wait_until(lambda: load_failures() > failures, "it cannot be loaded")
        assert scene.roles == (0, 0, [])
    assert any("probe 1 of 1 scores" in record.getMessage() for record in caplog.records)


def test_bytes_that_are_no_graph_stay_out_although_they_are_the_announced_ones(scene: Scene) -> None:
    promote(scene.bus, register(scene.packages, 1))

    class Odd:
        def load(
            self, model_name: str, version: int, *, digest: str | None, manifest_digest: str | None
        ) -> tuple[Manifest, bytes]:
            manifest, onnx = scene.packages.load(model_name, version, digest=digest, manifest_digest=manifest_digest)
            return manifest, onnx if version == 1 else onnx[:1000]

    scene.deployment = Deployment(scene.bus, loading(Odd()), SystemClock(), model_name=MODEL_NAME, retry_seconds=0.01)
    with running(scene.service):
        scene.wait_for(1)
        failures = load_failures()
        promote(scene.bus, register(scene.packages, 2, above=60_000))
        wait_until(lambda: load_failures() > failures, "it cannot be loaded")
        assert scene.roles == (1, 0, [])


def test_a_canary_and_a_challenger_that_cannot_be_loaded_hold_up_nobody(scene: Scene) -> None:
    one, two, three, four = (register(scene.packages, version) for version in range(1, 5))
    scene.damage(2)
    scene.damage(3)
    announce(scene.bus, "canaried", two, share=0.5)
    announce(scene.bus, "shadowed", three)
    promote(scene.bus, one)
    with running(scene.service):
        scene.wait_for(1)
        wait_until(lambda: scene.deployment.problem() is None, "ready")
        wait_until(lambda: (waiting("canary"), waiting("challenger")) == (2, 3), "both are told")
        promote(scene.bus, four)
        scene.wait_for(4)


def test_a_rollback_ends_the_attempts_to_load_a_version_that_is_broken(scene: Scene) -> None:
    first, second = register(scene.packages, 1), register(scene.packages, 2)
    scene.damage(2)
    promote(scene.bus, first)
    with running(scene.service):
        scene.wait_for(1)
        failures = load_failures()
        promote(scene.bus, second)
        wait_until(lambda: load_failures() > failures and waiting("champion") == 2, "version 2 cannot be loaded")
        announce(scene.bus, "rolled_back", first)
        wait_until(lambda: waiting("champion") == 0, "nobody waits")
        assert scene.roles == (1, 0, [])


def test_noise_on_the_models_topic_is_passed_over(scene: Scene) -> None:
    scene.bus.publisher().send(Outgoing("models", b"fraud", b"noise"))
    promote(scene.bus, register(scene.packages, 1))
    with running(scene.service):
        scene.wait_for(1)


def test_a_batch_is_decided_by_one_set_of_roles_while_these_change(scene: Scene) -> None:
    one, two = register(scene.packages, 1), register(scene.packages, 2, above=60_000)
    promote(scene.bus, one)
    scorer = Scorer(lambda: scene.deployment.roles, lambda: BEFORE_THE_FIRST, fallback="review")
    vectors = [vector(amount) for amount in (100, 55_000, 99_000)]
    batches: list[set[int]] = []

    def decided_by(version: int) -> bool:
        decisions = scorer.decided(vectors, [[]] * len(vectors), path="stream")
        batches.append({decision.model_version for decision in decisions})
        assert not any(decision.degraded for decision in decisions)
        return batches[-1] == {version}

    with running(scene.service):
        scene.wait_for(1)
        promote(scene.bus, two)
        wait_until(lambda: decided_by(2), "decided by 2")
        announce(scene.bus, "rolled_back", one)
        wait_until(lambda: decided_by(1), "decided by 1 again")
    assert [versions for versions, _ in groupby(batches)] in ([{1}, {2}, {1}], [{2}, {1}])
