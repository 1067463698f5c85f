"""From challenger to champion, step by step or back: every step an event that says why."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from services.training.rollout.stages import ROLLOUT
from shared.contracts.chain import first_broken_link
from shared.contracts.events import ModelEvent
from shared.contracts.topics import SHADOWS
from shared.models import lineage
from tests.unit.training.rollout_scene import HOUR, Model, Scene, blind, declining, failing, knowing


def roles(scene: Scene) -> tuple[int, int, list[int]]:
    """Return the versions by role: champion, canary, challengers; 0 where there is none."""
    now = lineage.standing(scene.log.history().events, "fraud")
    champion, canary = (each.model_version if each else 0 for each in (now.champion, now.canary))
    return champion, canary, [each.model_version for each in now.challengers]


RANKS_ALONE = {"flagged_slack": 0.9}
"""Only rankings are judged."""


def promoted(home: Path, model: Model = knowing, changes: Mapping[str, Any] = MappingProxyType({})) -> Scene:
    """Return a scene in which version 2 has just taken the place of version 1; from now on it does as `model`."""
    scene = Scene(home, changes=dict(changes))
    scene.pay(200)
    assert scene.look() == [("canaried", 2)]
    scene.pay(300)
    assert scene.look() == [("promoted", 2), ("shadowed", 1)]
    scene.models[2] = model
    return scene


def test_a_version_that_does_no_harm_comes_into_force_and_the_one_before_watches(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.pay(199)
    assert scene.look() == []
    scene.pay(1)
    assert scene.look() == [("canaried", 2)]
    assert roles(scene) == (1, 2, [])
    assert scene.last.share == 0.4
    scene.pay(200)
    assert scene.look() == [], "the canary has decided 75 only"
    scene.pay(100)
    assert scene.look() == [("promoted", 2), ("shadowed", 1)]
    assert roles(scene) == (2, 0, [1])
    assert [event.model_version for event in scene.shown] == [2]
    scene.pay(400)
    assert scene.look() == [], "none of these is old enough for labels"
    scene.clock.advance(6 * HOUR)
    scene.pay(1)
    assert scene.look() == [("withdrawn", 1)]
    assert roles(scene) == (2, 0, [])
    assert scene.look() == []


def test_every_step_is_signed_tells_why_and_goes_on_in_the_trace_of_the_request(tmp_path: Path) -> None:
    scene = promoted(tmp_path)
    events = scene.log.history().events
    request, (canaried, in_force, watching) = events[-4], events[-3:]
    assert {(event.actor, event.trace_id) for event in events[-3:]} == {(ROLLOUT, request.trace_id)}
    assert canaried.metrics["payments"] == 200
    assert canaried.metrics["flagged"] == pytest.approx(canaried.metrics["flagged_before"])
    assert "Version 2: 200 payments, " in canaried.reason
    assert "Version 2: 120 payments, " in in_force.reason
    assert "version 1: 180 payments, " in in_force.reason
    assert "not comparable yet" in in_force.reason
    assert (in_force.model_digest, watching.model_digest) == (f"{2:064x}", f"{1:064x}")
    assert "took its place" in watching.reason
    assert first_broken_link([record.value for record in scene.log.records()], ModelEvent) is None


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (declining, "version 2 reviews or declines 90.00% of the payments, frauds apart, version 1 0.00%"),
        (
            failing,
            "version 2 has no score for 100.00% of the payments, version 1 has none for 0.00%; allowed are 1.00%",
        ),
    ],
)
def test_a_challenger_that_does_harm_never_decides(tmp_path: Path, model: Model, told: str) -> None:
    scene = Scene(tmp_path, {1: knowing, 2: model})
    scene.pay(200)
    assert scene.look() == [("withdrawn", 2)]
    assert told in scene.last.reason
    assert roles(scene) == (1, 0, [])
    scene.pay(200)
    assert scene.look() == []


def test_harm_beyond_doubt_needs_few_payments_and_a_doubtful_one_all_of_them(tmp_path: Path) -> None:
    certain = Scene(tmp_path / "certain", {1: knowing, 2: declining})
    certain.pay(15)
    assert certain.look() == []
    certain.pay(25)
    assert certain.look() == [("withdrawn", 2)]
    doubtful = Scene(tmp_path / "doubtful", {1: knowing, 2: lambda risk: min(1.0, risk + 0.15)})
    doubtful.pay(199)
    assert doubtful.look() == []
    doubtful.pay(1)
    assert doubtful.look() == [("withdrawn", 2)]
    assert "version 2 reviews or declines 15.00% of the payments, frauds apart" in doubtful.last.reason


def test_a_challenger_that_ranks_matured_frauds_worse_never_decides(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {1: knowing, 2: blind}, {"shadow_payments": 10_000})
    scene.pay(500)
    scene.clock.advance(6 * HOUR)
    scene.pay(1)
    assert scene.look() == [("withdrawn", 2)]
    assert "version 1 ranks frauds surely better than version 2" in scene.last.reason
    assert scene.last.metrics["lead_before"] > 0


@pytest.mark.parametrize("model", [declining, failing])
def test_a_canary_that_does_harm_is_withdrawn_at_once(tmp_path: Path, model: Model) -> None:
    scene = Scene(tmp_path)
    scene.pay(200)
    scene.look()
    scene.models[2] = model
    scene.pay(60)
    assert scene.look() == [("withdrawn", 2)]
    assert roles(scene) == (1, 0, [])


def test_labels_of_what_it_saw_as_a_challenger_count_while_it_is_the_canary(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {1: knowing, 2: blind}, {"canary_payments": 10_000} | RANKS_ALONE)
    scene.pay(500)
    assert scene.look() == [("canaried", 2)]
    scene.clock.advance(6 * HOUR)
    scene.pay(60)
    assert scene.look() == [("withdrawn", 2)]
    assert "version 1 ranks frauds surely better" in scene.last.reason


@pytest.mark.parametrize("model", [declining, failing])
def test_a_champion_that_does_harm_is_rolled_back_at_once(tmp_path: Path, model: Model) -> None:
    scene = promoted(tmp_path, model)
    scene.pay(60)
    assert scene.look() == [("rolled_back", 1)]
    assert roles(scene) == (1, 0, [])
    assert [event.model_version for event in scene.shown] == [2, 1]
    scene.pay(60)
    assert scene.look() == []


def test_a_champion_that_ranks_worse_is_rolled_back_once_labels_tell(tmp_path: Path) -> None:
    scene = promoted(tmp_path, blind, RANKS_ALONE)
    scene.pay(300)
    assert scene.look() == []
    scene.clock.advance(6 * HOUR)
    scene.pay(1)
    assert scene.look() == [("rolled_back", 1)]
    assert "version 1 ranks frauds surely better than version 2: a lead" not in scene.last.reason
    assert "version 1 against version 2: a lead of +" in scene.last.reason


def test_a_version_that_was_to_find_more_frauds_may_flag_more(tmp_path: Path) -> None:
    """It was measured on payments of which it flagged half: a new fraud pattern, which the one before does not see."""
    scene = Scene(
        tmp_path,
        {1: lambda risk: risk * 0.92, 2: lambda risk: min(1.0, risk + 0.3), 3: lambda risk: min(1.0, risk + 0.3)},
    )
    scene.announce("registered", 3, metrics={"recall": 1.0, "fraud_rate": 0.2, "precision": 1.0})
    scene.announce("withdrawn", 2, actor="ada")
    scene.announce("shadowed", 3)
    scene.pay(200)
    assert scene.look() == [("canaried", 3)]
    assert scene.last.metrics["flagged"] > 5 * scene.last.metrics["flagged_before"]


def test_without_payments_it_waits_says_so_once_and_gives_up_in_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path)
    job = scene.job()
    with caplog.at_level(logging.INFO):
        assert job.look() + job.look() == []
    assert caplog.text.count("version 2 is a challenger until 200 payments have come") == 1
    scene.clock.advance(48 * HOUR)
    assert scene.look() == [("withdrawn", 2)]
    assert "given up: 0 payments of 200 in 48 h" in scene.last.reason
    assert roles(scene) == (1, 0, [])


def test_a_watch_without_payments_ends_and_the_champion_stays(tmp_path: Path) -> None:
    scene = promoted(tmp_path)
    scene.clock.advance(48 * HOUR)
    assert scene.look() == [], "labels need six hours more"
    scene.clock.advance(6 * HOUR)
    assert scene.look() == [("withdrawn", 1)]
    assert roles(scene) == (2, 0, [])


def test_payments_that_nobody_scores_prove_nothing(tmp_path: Path) -> None:
    """As while the state is away: the fallback decides for both."""
    scene = Scene(tmp_path, {1: failing, 2: failing})
    scene.pay(300)
    assert scene.look() == []
    scene.models = {1: knowing, 2: knowing}
    scene.pay(199)
    assert scene.look() == []
    scene.pay(1)
    assert scene.look() == [("canaried", 2)]


def test_rows_that_are_archived_twice_count_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.pay(150)
    for file in (tmp_path / "archive").rglob("*.parquet"):
        (file.parent / f"9-{file.name.split('-', 1)[1]}").write_bytes(file.read_bytes())
    assert scene.look() == []
    scene.pay(50)
    assert scene.look() == [("canaried", 2)]


def test_what_scoring_said_twice_counts_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.pay(60)
    scene.clock.advance(-HOUR)
    scene.paid = 0
    scene.pay(60)
    assert len(scene.archive.rows(SHADOWS, ["event_id"])) == 120
    scene.pay(139)
    assert scene.look() == []
    scene.pay(1)
    assert scene.look() == [("canaried", 2)]
    assert scene.last.metrics["payments"] == 200


def test_an_archive_that_cannot_be_read_stops_no_service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(tmp_path)
    scene.pay(200)
    damaged = min((tmp_path / "archive" / "shadows").rglob("*.parquet"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    assert scene.look() == []
    assert damaged.name in caplog.text
    damaged.write_bytes(whole)
    assert scene.look() == [("canaried", 2)]


def test_what_was_shown_before_the_trial_does_not_count(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.announce("withdrawn", 2, actor="ada")
    scene.announce("shadowed", 3, actor="ada")
    scene.pay(500)
    scene.announce("withdrawn", 3, actor="ada")
    scene.clock.advance(timedelta(minutes=1))
    scene.tried(3)
    assert scene.look() == []
    scene.pay(199)
    assert scene.look() == []
    scene.pay(1)
    assert scene.look() == [("canaried", 3)]
