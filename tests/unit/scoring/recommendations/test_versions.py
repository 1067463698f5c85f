"""Which recommenders come into service."""

from pathlib import Path

import pytest

from services.scoring.recommendations.recommending import loading
from shared.models.registry import Registry
from shared.recommendation.feature_version import FEATURE_VERSION
from shared.runtime import metrics
from tests.model_events import model_event
from tests.unit.scoring.recommendations.catalogue_scene import catalogue_of
from tests.unit.scoring.recommendations.recommending_scene import announce, recommending_scene, register
from tests.unit.scoring.scoring_scene import wait_until


def test_a_recommender_that_reads_other_histories_stays_out_of_service(tmp_path: Path) -> None:
    manifest = register(tmp_path, 2, feature_version="0" * 64)
    load = loading(Registry(tmp_path, tracking_uri=None), catalogue_of())
    event = model_event("promoted", 2, model_name="recommendation", model_digest=manifest.model_digest)
    with pytest.raises(ValueError, match=f"layout 000000000000, and these are of layout {FEATURE_VERSION[:12]}; run"):
        load(event)
    with recommending_scene(tmp_path) as scene:
        announce(scene.bus, "promoted", manifest)
        wait_until(lambda: waiting_version("champion") == 2, "version 2 is not loaded")
        assert scene.recommended()["model_version"] == 1


def test_a_challenger_that_nobody_would_ask_is_not_loaded_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with recommending_scene(tmp_path) as scene:
        announce(scene.bus, "shadowed", register(tmp_path, 2))
        announce(scene.bus, "promoted", register(tmp_path, 3))
        wait_until(lambda: scene.recommended()["model_version"] == 3, "version 3 serves")
        assert in_service("challenger", 2) is None
        assert waiting_version("challenger") == 0
    told = "nobody asks challengers of recommendation: version 2 is not loaded; try it as a canary"
    assert [record.getMessage() for record in caplog.records].count(told) == 1


def waiting_version(role: str) -> float | None:
    labels = {"model": "recommendation", "role": role}
    return metrics.REGISTRY.get_sample_value("headrace_model_waiting_version", labels)


def in_service(role: str, version: int) -> float | None:
    labels = {"model": "recommendation", "role": role, "version": str(version)}
    return metrics.REGISTRY.get_sample_value("headrace_model_in_service", labels)
