"""Whose models are tried before they come into force, and what a request that comes in between changes."""

from datetime import timedelta
from pathlib import Path

import pytest

from services.training.attempts import Attempts
from services.training.handlers import LIMITED, RequestHandler, Staged
from services.training.rollout.stages import rollouts
from shared.features.catalog.fraud import FRAUD
from tests.model_events import model_event
from tests.unit.training.request_scene import Service, actions

TRIED = [("registered", 2), ("shadowed", 2)]
AT_ONCE = [("registered", 2), ("promoted", 2)]


def service(home: Path, staged: Staged, *, with_champion: bool = True) -> Service:
    made = Service(home)
    made.handler = RequestHandler(
        {"fraud": made.trainer, "recommendation": made.recommender},
        made.log,
        Attempts(home / "attempts"),
        made.clock,
        interval=timedelta(),
        staged=staged,
    )
    if with_champion:
        made.answered(made.requested("first"))
        made.answered(made.requested("first", model_name="recommendation"))
    return made


@pytest.mark.parametrize(
    ("staged", "by_drift", "by_a_person"),
    [("drift", TRIED, AT_ONCE), ("always", TRIED, TRIED), ("never", AT_ONCE, AT_ONCE)],
)
def test_the_setting_says_whose_models_are_tried_first(
    tmp_path: Path, staged: Staged, by_drift: list[tuple[str, int]], by_a_person: list[tuple[str, int]]
) -> None:
    asked = service(tmp_path / "drift", staged)
    assert actions(asked.answered(asked.alarmed("drift"))) == by_drift
    asked = service(tmp_path / "person", staged)
    assert actions(asked.answered(asked.requested("person"))) == by_a_person


def test_a_tried_model_says_why_it_passed_and_that_it_decides_nothing_yet(tmp_path: Path) -> None:
    asked = service(tmp_path, "drift")
    request = asked.alarmed("drift")
    _, shadowed = asked.answered(request)
    assert shadowed.reason == "better. It is tried as a challenger first"
    assert (shadowed.trace_id, shadowed.model_digest) == (request.event.trace_id, f"{2:064x}")
    assert [event.model_version for event in asked.trainer.shown] == [1]
    (stage,) = rollouts(asked.log.history(), "fraud", FRAUD.version).stages
    assert (stage.name, stage.new, stage.before) == ("shadow", 2, 1)


def test_the_first_model_and_one_for_other_features_come_into_force_at_once(tmp_path: Path) -> None:
    """There is nothing that could decide meanwhile."""
    first = service(tmp_path / "first", "always", with_champion=False)
    assert actions(first.answered(first.alarmed("drift")))[-1] == ("promoted", 1)
    other = service(tmp_path / "other", "always", with_champion=False)
    other.log.append(lambda _: [model_event("promoted", 1, feature_version="c" * 64, actor="ada")])
    assert other.trainer.feature_version == FRAUD.version
    assert actions(other.answered(other.alarmed("drift")))[-1] == ("promoted", 1)


def test_nobody_asks_challengers_of_recommendations(tmp_path: Path) -> None:
    asked = service(tmp_path, "always")
    request = asked.requested("tastes change", by=LIMITED, model_name="recommendation")
    assert actions(asked.answered(request)) == AT_ONCE


def test_a_request_that_comes_again_begins_one_rollout(tmp_path: Path) -> None:
    asked = service(tmp_path, "drift")
    request = asked.alarmed("drift")
    assert actions(asked.answered(request)) == TRIED
    assert asked.answered(request._replace(record=request.record._replace(produced_ms=10**15))) == []
    assert len(asked.trainer.judged_by) == 2


def test_the_next_request_is_judged_by_the_champion_and_tried_in_the_place_of_the_last(tmp_path: Path) -> None:
    asked = service(tmp_path, "drift")
    asked.answered(asked.alarmed("drift"))
    assert actions(asked.answered(asked.alarmed("drift again"))) == [("registered", 3), ("shadowed", 3)]
    assert asked.trainer.judged_by == [0, 1, 1]
    found = rollouts(asked.log.history(), "fraud", FRAUD.version)
    assert [(stage.name, stage.new) for stage in found.stages] == [("shadow", 3)]
    assert [(each.role.model_version, each.reason) for each in found.overtaken] == [
        (2, "version 3 is tried in its place")
    ]


def test_a_model_whose_champion_was_replaced_in_mid_run_is_refused_and_not_tried(tmp_path: Path) -> None:
    asked = service(tmp_path, "drift")
    decided = model_event("promoted", 9, name="by hand", actor="ada", feature_version=FRAUD.version)
    asked.trainer.during = lambda: print(asked.log.append(lambda _: [decided]))
    assert actions(asked.answered(asked.alarmed("drift")))[-1] == ("refused", 2)
