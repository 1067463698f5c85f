"""The next step of a rollout, from what was announced and what was seen: pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from msgspec.structs import replace

from services.training.model_log import History
from services.training.releases import registration
from services.training.rollout.comparison import Bound, Seen, exceeds
from services.training.rollout.stages import ROLLOUT, Overtaken, Stage, is_ours
from services.training.settings import TrainingSettings
from shared.contracts.events import ModelEvent
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import MODELS
from shared.models import lineage

_Action = Literal["canaried", "promoted", "shadowed", "withdrawn", "rolled_back"]
_REASON_CHARACTERS_MAX = 4_096


class _Ending(NamedTuple):
    """How a stage ends, and why."""

    is_good: bool
    reason: str


def step(history: History, stage: Stage, seen: Seen, settings: TrainingSettings, *, now: datetime) -> list[ModelEvent]:
    """Return what to announce next, all of it at once or nothing; empty while the stage goes on.

    Raises:
        RefusedError: no_version, where the new version, or the one before it, was never registered.
    """
    ending = _ending(history, stage, seen, settings, now)
    if ending is None:
        return []
    if stage.name == "watch":
        after = _announced(history, stage, "withdrawn" if ending.is_good else "rolled_back", stage.before, now)
        return [_told(after, ending.reason, seen)]
    if not ending.is_good:
        return [_told(_announced(history, stage, "withdrawn", stage.new, now), ending.reason, seen)]
    if stage.name == "shadow":
        canaried = _announced(history, stage, "canaried", stage.new, now)
        return [_told(replace(canaried, share=settings.headrace_training_canary_share), ending.reason, seen)]
    why = f"stays beside version {stage.new}, which took its place, and comes back should that do harm"
    return [
        _told(_announced(history, stage, "promoted", stage.new, now), ending.reason, seen),
        replace(_announced(history, stage, "shadowed", stage.before, now), reason=why),
    ]


def taken_back(history: History, overtaken: Overtaken, *, now: datetime) -> ModelEvent:
    """Return the end of a role that has no sense any more; raises RefusedError, as `step`."""
    role = overtaken.role
    ended = _event(history, role, "withdrawn", role.model_version, now)
    return replace(ended, reason=f"its rollout ends: {overtaken.reason}")


def waits_for(stage: Stage, settings: TrainingSettings) -> str:
    """Return what a stage goes on for, in words."""
    needed = payments_needed(stage, settings)
    return {
        "shadow": f"version {stage.new} is a challenger until {needed:,} payments have come",
        "canary": f"version {stage.new} is the canary until it has decided {needed:,} payments",
        "watch": f"version {stage.new} is watched until {needed:,} of its payments are old enough for labels",
    }[stage.name]


def _ending(history: History, stage: Stage, seen: Seen, settings: TrainingSettings, now: datetime) -> _Ending | None:
    # Without a score there is nothing to judge: while features are away, say, of either version.
    there, needed = seen.matured if stage.name == "watch" else seen.new.scored, payments_needed(stage, settings)
    allowed = settings.headrace_training_flagged_factor_max * _flagged_when_measured(history, stage)
    harms = _harms(stage, seen, settings, allowed=allowed, surely=there < needed)
    if harms:
        return _Ending(is_good=False, reason=f"{'; '.join(harms)}. {_figures(stage, seen)}")
    other = _other_canary(history, stage)
    if there >= needed and other is None:
        return _Ending(is_good=True, reason=f"no harm seen. {_figures(stage, seen)}")
    hours = settings.headrace_training_rollout_hours_max
    if stage.name == "watch":
        hours += 24 * settings.headrace_training_label_delay_days
    if now - stage.began.occurred_at < timedelta(hours=hours):
        return None
    reason = f"{there:,} payments of {needed:,} in {hours:g} h: too few came, or scoring could not load a version"
    if other is not None:
        reason = f"version {other} has been somebody else's canary for {hours:g} h"
    return _Ending(is_good=stage.name == "watch", reason=f"given up: {reason}. {_figures(stage, seen)}")


def _other_canary(history: History, stage: Stage) -> int | None:
    """Return which version stands where that of a challenger is to come next; nobody's canary is pushed aside."""
    canary = lineage.standing(history.events, stage.began.model_name).canary
    return None if canary is None or stage.name != "shadow" or is_ours(canary) else canary.model_version


def payments_needed(stage: Stage, settings: TrainingSettings) -> int:
    """Return of how many payments a stage is about."""
    return {
        "shadow": settings.headrace_training_shadow_payments,
        "canary": settings.headrace_training_canary_payments,
        "watch": settings.headrace_training_watch_payments,
    }[stage.name]


def _harms(stage: Stage, seen: Seen, settings: TrainingSettings, *, allowed: float, surely: bool) -> list[str]:
    """Return what speaks against the new version."""
    new, before, found = seen.new, seen.before, []
    factor, slack = settings.headrace_training_flagged_factor_max, settings.headrace_training_flagged_slack
    if exceeds(new.flagged, before.flagged, Bound(factor, allowed, slack), surely=surely):
        found.append(
            f"version {stage.new} reviews or declines {new.flagged.rate:.2%} of the payments, frauds apart, version "
            f"{stage.before} {before.flagged.rate:.2%}; allowed are "
            f"{max(factor * before.flagged.rate, allowed) + slack:.2%}"
        )
    slack = settings.headrace_training_unscored_slack
    if exceeds(new.unscored, before.unscored, Bound(1.0, 0.0, slack), surely=surely):
        found.append(
            f"version {stage.new} has no score for {new.unscored.rate:.2%} of the payments, version {stage.before} has "
            f"none for {before.unscored.rate:.2%}; allowed are {slack:.2%} more"
        )
    if seen.test.better:
        found.append(f"version {stage.before} ranks frauds surely better than version {stage.new}")
    return found


def _flagged_when_measured(history: History, stage: Stage) -> float:
    """Return which share the new version would have flagged of the payments it was measured on; 0 where not known."""
    told: Mapping[str, float] = registration(history, stage.new, stage.began.model_name).metrics
    if told.get("precision", 0.0) <= 0:
        return 0.0
    return told.get("recall", 0.0) * told.get("fraud_rate", 0.0) / told["precision"]


def _figures(stage: Stage, seen: Seen) -> str:
    new, before = seen.new, seen.before
    return (
        f"Version {stage.new}: {new.payments:,} payments, {new.flagged.rate:.2%} reviewed or declined, frauds apart, "
        f"{new.unscored.rate:.2%} without a score; version {stage.before}: {before.payments:,} payments, "
        f"{before.flagged.rate:.2%} and {before.unscored.rate:.2%}. By {seen.matured:,} payments old enough for labels "
        f"({seen.frauds:,} frauds), version {stage.before} against version {stage.new}: {seen.test.explanation}"
    )


def _told(event: ModelEvent, reason: str, seen: Seen) -> ModelEvent:
    measured = {
        "payments": float(seen.new.payments),
        "payments_before": float(seen.before.payments),
        "flagged": seen.new.flagged.rate,
        "flagged_before": seen.before.flagged.rate,
        "unscored": seen.new.unscored.rate,
        "unscored_before": seen.before.unscored.rate,
        "matured": float(seen.matured),
        "frauds": float(seen.frauds),
    }
    if seen.test.p_value is not None:
        measured |= {"lead_before": seen.test.lead, "p_value": seen.test.p_value}
    return replace(event, reason=reason[:_REASON_CHARACTERS_MAX], metrics=measured)


def _announced(history: History, stage: Stage, action: _Action, version: int, now: datetime) -> ModelEvent:
    return _event(history, stage.began, action, version, now)


def _event(history: History, began: ModelEvent, action: _Action, version: int, now: datetime) -> ModelEvent:
    """Return an event that goes on from `began`: in its trace, and with an id that a second try derives again."""
    chosen = registration(history, version, began.model_name)
    return replace(
        chosen,
        event_id=derived_event_id(now, MODELS.name, began.event_id, action, str(version)),
        occurred_at=now,
        trace_id=began.trace_id,
        action=action,
        actor=ROLLOUT,
        metrics={},
        previous_digest=None,
    )
