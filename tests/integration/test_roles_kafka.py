"""Roles on a real broker: what is announced in transactions takes effect at once, and is found again."""

import hashlib
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi import FastAPI

from services.scoring.deployment import Deployment
from services.scoring.model import ScoringModel, loading
from services.training.model_log import ModelLog
from shared.bus.kafka import KafkaBus
from shared.contracts.topics import TOPICS
from shared.models.packages import Packages
from shared.runtime.clock import SystemClock
from shared.runtime.service import Service
from tests.model_events import Action, model_event
from tests.models import manifest_of, onnx_bytes
from tests.unit.scoring.scoring_scene import running, wait_until

pytestmark = pytest.mark.servers


def versions(deployment: Deployment[ScoringModel]) -> tuple[int, int, list[int]]:
    roles = deployment.roles
    deciding = (roles.champion, roles.canary.model if roles.canary else None)
    champion, canary = (model.manifest.model_version if model else 0 for model in deciding)
    return champion, canary, [model.manifest.model_version for model in roles.challengers]


def test_roles_follow_what_is_announced_and_are_found_again(kafka_bus: KafkaBus, tmp_path: Path) -> None:
    # The broker is shared: other tests announce other models on the same topic.
    name = f"fraud-{uuid4().hex}"
    kafka_bus.create_topics(TOPICS)
    packages, log = Packages(tmp_path), ModelLog(kafka_bus)
    for version in (1, 2, 3):
        packages.add(manifest_of(version, model_name=name), onnx_bytes())

    def announce(action: Action, version: int, share: float | None = None) -> None:
        digest = hashlib.sha256(onnx_bytes()).hexdigest()
        event = model_event(action, version, name=uuid4().hex, model_name=name, model_digest=digest, share=share)
        log.append(lambda _: [event])

    def followed() -> Deployment[ScoringModel]:
        return Deployment(kafka_bus, loading(packages), SystemClock(), model_name=name, retry_seconds=0.1)

    announce("promoted", 1)
    deployment = followed()
    with running(Service(name="test", app=FastAPI(), workers=(deployment,))):
        wait_until(lambda: deployment.problem() is None, "ready")
        assert versions(deployment) == (1, 0, [])
        announce("canaried", 2, share=0.05)
        announce("shadowed", 3)
        wait_until(lambda: versions(deployment) == (1, 2, [3]), "a canary and a challenger")
        announce("promoted", 2)
        wait_until(lambda: versions(deployment) == (2, 0, [3]), "the canary promoted")
        announce("rolled_back", 1)
        wait_until(lambda: versions(deployment) == (1, 0, [3]), "rolled back")
    again = followed()
    with running(Service(name="test", app=FastAPI(), workers=(again,))):
        wait_until(lambda: versions(again) == (1, 0, [3]), "found again")
