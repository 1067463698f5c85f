"""Which version of a model is in force, told by its events on `models` alone.

A promotion puts its version in force. A rollback goes back: it names the version that is in force from then on. Every
other event leaves things as they are.
"""

from collections.abc import Iterable

from shared.contracts.events import ModelEvent


def puts_in_force(event: ModelEvent, model_name: str) -> bool:
    """Tell whether from `event` on its version of `model_name` is in force."""
    return event.model_name == model_name and event.action in {"promoted", "rolled_back"}


def in_force(events: Iterable[ModelEvent], model_name: str) -> ModelEvent | None:
    """Return the event that put a version in force last; None before the first.

    events: oldest first, of whatever models.
    """
    latest = None
    for event in events:
        if puts_in_force(event, model_name):
            latest = event
    return latest


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


def _down_to(version: int, stack: list[ModelEvent]) -> list[ModelEvent]:
    """Return `stack` without what is above the topmost event of `version`; all of it where there is none."""
    for at in range(len(stack) - 1, -1, -1):
        if stack[at].model_version == version:
            return stack[: at + 1]
    return stack


def _may_return(event: ModelEvent, present: ModelEvent, archived: set[int]) -> bool:
    return event.model_version != present.model_version and event.model_version not in archived
