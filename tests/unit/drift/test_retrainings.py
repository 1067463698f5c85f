"""What became of a request for a new model, told by `models`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.drift.retrainings import Ended, Retrainings
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.contracts.ids import derived_event_id

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
EVENT_TIME = datetime(2026, 3, 1, tzinfo=UTC)
COOLDOWN = timedelta(minutes=10)
ANSWER_MAX = timedelta(days=1)
FAMILIES = ("performance",)


def _event(action: str, version: int, *, after: timedelta = timedelta(minutes=1), **fields: Any) -> ModelEvent:
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(NOW + after, action, str(version)),
        "occurred_at": NOW + after,
        "trace_id": "b" * 32,
        "model_name": "fraud",
        "model_version": version,
        "action": action,
        "model_digest": None,
        "feature_version": "f" * 64,
        "actor": "training",
        "reason": "",
        "previous_digest": None,
    }
    return ModelEvent(**(defaults | fields))


def _asked(now: datetime = NOW, at: datetime = EVENT_TIME) -> RetrainingRequest:
    return RetrainingRequest(
        event_id=derived_event_id(at, "retraining", now.isoformat()),
        occurred_at=at,
        trace_id="a" * 32,
        model_name="fraud",
        requested_by="drift",
        reason="recall has fallen",
    )


def _retrainings(*, champion: int = 1) -> Retrainings:
    retrainings = Retrainings("fraud", cooldown=COOLDOWN, answer_max=ANSWER_MAX)
    retrainings.take_in(_event("promoted", champion, after=timedelta(days=-9)))
    return retrainings


def _open() -> Retrainings:
    retrainings = _retrainings()
    retrainings.ask(_asked(), FAMILIES, NOW)
    return retrainings


def _endings(retrainings: Retrainings, *events: ModelEvent) -> list[str]:
    return [ended.ending for event in events if (ended := retrainings.take_in(event)) is not None]


@pytest.mark.parametrize(
    ("steps", "ending"),
    [
        ([("registered", 2), ("promoted", 2)], "needed"),
        ([("registered", 2), ("refused", 2)], "needless"),
        ([("refused", 0)], "failed"),
        ([("registered", 2), ("shadowed", 2), ("withdrawn", 2)], "failed"),
        ([("registered", 2), ("shadowed", 2), ("canaried", 2), ("promoted", 2)], "needed"),
    ],
)
def test_a_request_ends_as_models_tells(steps: list[tuple[str, int]], ending: str) -> None:
    retrainings = _open()
    assert retrainings.awaited() != ""
    *before, last = [_event(action, version, share=0.1 if action == "canaried" else None) for action, version in steps]
    assert _endings(retrainings, *before) == []
    assert retrainings.request == _asked()
    assert retrainings.take_in(last) == Ended(EVENT_TIME, ending, FAMILIES)  # type: ignore[arg-type]
    assert retrainings.request is None
    assert retrainings.awaited() == ""


def test_what_was_not_asked_for_does_not_count() -> None:
    retrainings = _retrainings()
    assert _endings(retrainings, _event("registered", 2), _event("refused", 2), _event("refused", 0)) == []
    retrainings.ask(_asked(), FAMILIES, NOW)
    earlier = timedelta(minutes=-5)
    others = [
        _event("registered", 3, after=earlier),
        _event("refused", 3, after=earlier),
        _event("refused", 0, actor="someone"),
        _event("promoted", 7, model_name="recommendation"),
        _event("registered", 4, actor="recalibration"),
    ]
    assert _endings(retrainings, *others) == []
    assert retrainings.request is not None


def test_an_answer_is_known_by_its_trace_whatever_the_clocks_say() -> None:
    behind = _event("refused", 0, after=timedelta(minutes=-5), trace_id="a" * 32)
    assert _endings(_open(), behind) == ["failed"]


def test_a_version_that_is_rolled_out_is_awaited_whoever_asked_for_it() -> None:
    retrainings = _retrainings()
    retrainings.take_in(_event("registered", 2))
    retrainings.take_in(_event("shadowed", 2))
    assert retrainings.awaited() == "version 2 is being rolled out"
    retrainings.take_in(_event("promoted", 2))
    retrainings.take_in(_event("shadowed", 1))
    assert retrainings.awaited() == "", "the version before only watches"


def test_a_challenger_that_a_person_set_up_is_not_awaited() -> None:
    retrainings = _retrainings()
    retrainings.take_in(_event("shadowed", 2, actor="ana"))
    assert retrainings.awaited() == ""


def test_a_promotion_that_is_taken_back_is_counted_as_that_too() -> None:
    retrainings = _open()
    told = _endings(
        retrainings,
        _event("registered", 2),
        _event("promoted", 2),
        _event("rolled_back", 1, actor="ana"),
        _event("rolled_back", 1, actor="ana"),
    )
    assert told == ["needed", "rolled_back"]


def test_its_state_is_told_from_the_request_to_the_end_of_the_cooldown() -> None:
    retrainings, later = _retrainings(), NOW + timedelta(minutes=5)
    states = [retrainings.state(NOW)]
    retrainings.ask(_asked(), FAMILIES, NOW)
    states.append(retrainings.state(later))
    for action, version, actor in (
        ("registered", 2, "training"),
        ("shadowed", 2, "training"),
        ("canaried", 2, "rollout"),
        ("promoted", 2, "rollout"),
        ("shadowed", 1, "rollout"),
        ("withdrawn", 1, "rollout"),
    ):
        retrainings.take_in(_event(action, version, actor=actor, share=0.1 if action == "canaried" else None))
        states.append(retrainings.state(later))
    assert states == ["watching", "asked", "asked", "shadow", "canary", "watching", "watched", "watching"]


def test_what_was_asked_in_vain_cools_down() -> None:
    retrainings = _open()
    retrainings.take_in(_event("refused", 2))
    assert retrainings.state(NOW + COOLDOWN) == "cooling_down"
    assert retrainings.state(NOW + 2 * COOLDOWN) == "watching"


def test_a_rollback_after_another_promotion_is_of_that_one() -> None:
    retrainings = _open()
    steps = [_event("registered", 2), _event("promoted", 2), _event("promoted", 3), _event("rolled_back", 2)]
    assert _endings(retrainings, *steps) == ["needed"]


def test_the_cooldown_doubles_with_every_request_in_vain_and_ends_with_a_promotion() -> None:
    retrainings = _retrainings()
    assert retrainings.asks_from is None
    now = NOW
    for times in (1, 2, 4):
        retrainings.ask(_asked(now), FAMILIES, now)
        assert retrainings.asks_from == now + times * COOLDOWN
        retrainings.take_in(_event("refused", 0, after=now - NOW))
        now += timedelta(hours=1)
    retrainings.take_in(_event("promoted", 2, actor="ana"))
    assert retrainings.asks_from is None
    retrainings.ask(_asked(now), FAMILIES, now)
    assert retrainings.asks_from == now + COOLDOWN


def test_a_request_that_is_not_answered_is_given_up() -> None:
    retrainings = _open()
    assert retrainings.overdue(NOW + ANSWER_MAX - timedelta(seconds=1)) is None
    assert retrainings.overdue(NOW + ANSWER_MAX) == Ended(EVENT_TIME, "failed", FAMILIES)
    assert retrainings.request is None
    assert retrainings.overdue(NOW + ANSWER_MAX) is None


def test_a_rollout_takes_as_long_as_it_takes() -> None:
    retrainings = _open()
    retrainings.take_in(_event("registered", 2))
    retrainings.take_in(_event("shadowed", 2))
    assert retrainings.overdue(NOW + 30 * ANSWER_MAX) is None
    assert _endings(retrainings, _event("promoted", 2, after=timedelta(days=30))) == ["needed"]


def test_needless_retrainings_are_counted_over_a_quarter_of_event_time() -> None:
    retrainings = _retrainings()
    for month, version in enumerate(range(2, 8)):
        at = EVENT_TIME + month * timedelta(days=30)
        retrainings.ask(_asked(NOW, at), FAMILIES, NOW)
        retrainings.take_in(_event("registered", version))
        retrainings.take_in(_event("refused", version))
    assert retrainings.needless_in_quarter(EVENT_TIME + timedelta(days=152)) == 3
    assert retrainings.needless_in_quarter(EVENT_TIME + timedelta(days=400)) == 0
