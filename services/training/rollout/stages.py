"""Which rollouts are under way, told by the events on `models` alone.

A version that passed the gates for drift is announced as `shadowed` by training; every later step is signed by
`rollout`. A role that anybody else gave or took ends the rollout of that version, and is left as it is.
"""

from typing import Literal, NamedTuple

from services.training.model_log import ACTOR, History
from shared.contracts.events import ModelEvent
from shared.models import lineage

ROLLOUT = "rollout"
"""Who announces the steps behind the first."""


class Stage(NamedTuple):
    """Where a rollout stands.

    name: shadow and canary try the new version; watch keeps the one before as its challenger. began: the event that
    gave the role. shown_since: the one that made a challenger, whose scores stand beside what was decided. new: the
    version that is rolled out. before: the one it is held against, in force before it.
    """

    name: Literal["shadow", "canary", "watch"]
    began: ModelEvent
    shown_since: ModelEvent
    new: int
    before: int

    @property
    def challenger(self) -> int:
        """The version that scored as a challenger."""
        return self.shown_since.model_version

    @property
    def decided(self) -> int:
        """The version that decided meanwhile."""
        return self.before if self.challenger == self.new else self.new


class Overtaken(NamedTuple):
    """A role that a rollout gave and that has no sense any more, and why."""

    role: ModelEvent
    reason: str


class Rollouts(NamedTuple):
    """What is under way for one model: a watch, a trial, or both."""

    stages: tuple[Stage, ...] = ()
    overtaken: tuple[Overtaken, ...] = ()


def rollouts(history: History, model_name: str, feature_version: str) -> Rollouts:
    """Return what is under way, and the roles to be taken back.

    feature_version: of what is computed now; versions for another can no longer serve.
    """
    now = lineage.standing(history.events, model_name)
    if now.champion is None:
        return Rollouts()
    at = history.events.index
    given = [role for role in (*now.challengers, now.canary) if role is not None and is_ours(role)]
    watches = [role for role in given if _is_watch(role)]
    trials = sorted((role for role in given if not _is_watch(role)), key=at)
    overtaken, current = [], []
    for role in (*watches, *trials):
        if at(role) < at(now.champion):
            overtaken.append(Overtaken(role, f"version {now.champion.model_version} came into force meanwhile"))
        elif role.feature_version != feature_version:
            overtaken.append(Overtaken(role, f"version {role.model_version} was made for other features"))
        elif role in trials[:-1]:
            overtaken.append(Overtaken(role, f"version {trials[-1].model_version} is tried in its place"))
        else:
            current.append(_stage(history, role, now.champion))
    return Rollouts(tuple(current), tuple(overtaken))


def is_ours(event: ModelEvent) -> bool:
    """Tell whether a rollout gave the role that `event` is about."""
    return event.actor == ROLLOUT or (event.actor == ACTOR and event.action == "shadowed")


def _is_watch(role: ModelEvent) -> bool:
    return role.action == "shadowed" and role.actor == ROLLOUT


def _stage(history: History, role: ModelEvent, champion: ModelEvent) -> Stage:
    if _is_watch(role):
        return Stage("watch", role, role, champion.model_version, role.model_version)
    if role.action == "shadowed":
        return Stage("shadow", role, role, role.model_version, champion.model_version)
    about = (role.model_name, role.model_version, "shadowed")
    shown = [e for e in history.events if (e.model_name, e.model_version, e.action) == about and is_ours(e)]
    return Stage("canary", role, shown[-1], role.model_version, champion.model_version)
