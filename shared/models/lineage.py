"""Which version of a model has which role, told by its events on `models` alone.

The champion is the version in force: it decides. A canary decides about a share of the cards in its place. Challengers
score every payment and decide none. A version has one role at a time, the one it was given last:

| event | the version it names | the others |
| --- | --- | --- |
| promoted | is champion | the champion before has no role; a canary and challengers keep theirs |
| rolled_back | is champion again | the champion before has no role, nor has a canary: one version decides everywhere |
| canaried | is the canary, for the share it names | the canary before has no role |
| shadowed | is a challenger | keep theirs |
| withdrawn, archived | is neither canary nor challenger | keep theirs |

What is said of the champion but a promotion or a rollback of another version changes nothing, nor does a canary without
a share, or any other event.
"""

from collections.abc import Iterable
from typing import NamedTuple

from shared.contracts.events import ModelEvent


class Standing(NamedTuple):
    """The events that gave versions the roles they have now; challengers in order of their versions."""

    champion: ModelEvent | None = None
    canary: ModelEvent | None = None
    challengers: tuple[ModelEvent, ...] = ()

    def after(self, event: ModelEvent) -> "Standing":
        """Return the roles after `event`, which is of the same model."""
        if puts_in_force(event, event.model_name):
            others = self._without(event.model_version)
            canary = others.canary if event.action == "promoted" else None
            return others._replace(champion=event, canary=canary)
        if self.champion is not None and event.model_version == self.champion.model_version:
            return self
        if event.action == "canaried" and event.share is not None:
            return self._without(event.model_version)._replace(canary=event)
        if event.action == "shadowed":
            others = self._without(event.model_version)
            return others._replace(challengers=tuple(sorted((*others.challengers, event), key=_version)))
        return self._without(event.model_version) if event.action in {"withdrawn", "archived"} else self

    def _without(self, version: int) -> "Standing":
        """Return the roles when `version` is neither canary nor challenger."""
        canary = self.canary if self.canary is None or self.canary.model_version != version else None
        challengers = tuple(event for event in self.challengers if event.model_version != version)
        return self._replace(canary=canary, challengers=challengers)


def standing(events: Iterable[ModelEvent], model_name: str) -> Standing:
    """Return the roles that versions of `model_name` have after `events`: oldest first, of whatever models."""
    now = Standing()
    for event in events:
        if event.model_name == model_name:
            now = now.after(event)
    return now


def puts_in_force(event: ModelEvent, model_name: str) -> bool:
    """Tell whether from `event` on its version of `model_name` is in force."""
    return event.model_name == model_name and event.action in {"promoted", "rolled_back"}


def in_force(events: Iterable[ModelEvent], model_name: str) -> ModelEvent | None:
    """Return the event that put a version in force last; None before the first.

    events: oldest first, of whatever models.
    """
    return standing(events, model_name).champion


def previous(events: Iterable[ModelEvent], model_name: str) -> ModelEvent | None:
    """Return the event that put the version in force to which a rollback goes back now; None when there is none.

    That is the version before, which was in force when the present one was promoted; archived ones are passed over. A
    rollback does not count as a version before: two in a row go back two versions, not back and forth.

    events: oldest first, of whatever models.
    """
    stack: list[ModelEvent] = []
    archived: set[int] = set()
    for event in events:
        if event.model_name == model_name and event.action == "archived":
            archived.add(event.model_version)
        elif puts_in_force(event, model_name):
            if event.action == "rolled_back":
                stack = _down_to(event.model_version, stack)
            if not stack or stack[-1].model_version != event.model_version:
                stack.append(event)
    return next((event for event in reversed(stack[:-1]) if _may_return(event, stack[-1], archived)), None)


def is_archived(events: Iterable[ModelEvent], model_name: str, version: int) -> bool:
    """Tell whether a version was put away for good."""
    about = ((event.model_name, event.model_version, event.action) for event in events)
    return (model_name, version, "archived") in about


def _version(event: ModelEvent) -> int:
    return event.model_version


def _down_to(version: int, stack: list[ModelEvent]) -> list[ModelEvent]:
    """Return `stack` without what is above the topmost event of `version`; all of it where there is none."""
    for at in range(len(stack) - 1, -1, -1):
        if stack[at].model_version == version:
            return stack[: at + 1]
    return stack


def _may_return(event: ModelEvent, present: ModelEvent, archived: set[int]) -> bool:
    return event.model_version != present.model_version and event.model_version not in archived
