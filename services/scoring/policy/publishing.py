"""What is announced on `policies`: a new version, or the version before again; each kind of policy counts its own.

Each function that returns an event is meant for ChainedLog.append, so that nothing is announced in between.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.scoring.policy.document import PolicyError, Problem
from services.scoring.policy.kinds import Kind, P
from shared.bus.chained_log import Chain
from shared.contracts import codec
from shared.contracts.chain import ChainAudit, examined, readable
from shared.contracts.codec import BadRecordError
from shared.contracts.events import PolicyEvent
from shared.contracts.ids import new_event_id, new_trace_id

History = Chain[PolicyEvent]


class Author(NamedTuple):
    """Who publishes a policy, why and when."""

    actor: str
    reason: str
    at: datetime


def announced(history: History, kind: Kind[Any]) -> list[PolicyEvent]:
    """Return what was announced of one kind, oldest first."""
    return [event for event in history.events if event.policy_name == kind.name]


def publication(history: History, text: str, author: Author, kind: Kind[Any]) -> PolicyEvent:
    """Return the event that puts a policy in force, as the next version of its kind.

    text: the policy as it was written.

    Raises:
        PolicyError: it cannot be used, it is the newest already, or what it would be announced with is wrong.
    """
    events = announced(history, kind)
    if events and events[-1].policy_digest == text_digest(text):
        raise _refused(f"this is version {events[-1].policy_version}, the newest, already")
    version = max((event.policy_version for event in events), default=0) + 1
    kind.policy_of(text, version=version)
    event = PolicyEvent(
        event_id=new_event_id(author.at),
        occurred_at=author.at,
        trace_id=new_trace_id(),
        policy_name=kind.name,
        policy_version=version,
        policy_digest=text_digest(text),
        document=text,
        actor=author.actor,
        reason=author.reason,
        previous_digest=None,
    )
    try:
        return codec.decode(PolicyEvent, codec.encode(event))
    except BadRecordError as error:
        raise _refused(f"this cannot be announced: {error}") from error


def going_back(history: History, author: Author, kind: Kind[Any], *, version: int | None = None) -> PolicyEvent:
    """Return the event that puts an earlier policy in force again, as a new version.

    version: None goes back to the policy before the present one; twice in a row goes back two, not back and forth.

    Raises:
        PolicyError: there is none, or it cannot be used any more.
    """
    chosen = _previous(announced(history, kind)) if version is None else version_of(history, version, kind)
    return publication(history, chosen.document, author, kind)


def _previous(events: Sequence[PolicyEvent]) -> PolicyEvent:
    """Return what was in force before; who publishes an earlier text again goes back to it."""
    stack: list[PolicyEvent] = []
    for event in events:
        same = [at for at, earlier in enumerate(stack) if earlier.policy_digest == event.policy_digest]
        stack = [*stack[: same[-1]], event] if same else [*stack, event]
    if len(stack) < 2:
        raise _refused("there is no earlier policy to go back to; publish one with `headrace policy publish`")
    return stack[-2]


def version_of(history: History, version: int | None, kind: Kind[Any]) -> PolicyEvent:
    """Return the event of a version; None asks for the newest.

    Raises:
        PolicyError: there is no such version.
    """
    events = announced(history, kind)
    found = [event for event in events if version in (None, event.policy_version)]
    if not found:
        there = ", ".join(str(event.policy_version) for event in events) or "none yet"
        raise _refused(f"no such version of the policy was published; there is {there}")
    return found[-1]


def policy_in(event: PolicyEvent, kind: Kind[P]) -> P:
    """Return the policy that an event of this kind announces.

    Raises:
        PolicyError: it cannot be used, or it is not the text that the event's digest names.
    """
    if text_digest(event.document) != event.policy_digest:
        raise _refused(f"its text has the digest {text_digest(event.document)}, announced is {event.policy_digest}")
    return kind.policy_of(event.document, version=event.policy_version)


def audited(values: Sequence[bytes | None], *, earlier_head: str | None = None) -> ChainAudit:
    """Check all of `policies`: its chain, that each kind's versions count up, and that each text is the announced one.

    values: of all records, oldest first. earlier_head: as for `examined`.
    """
    found = examined(values, PolicyEvent, earlier_head=earlier_head)
    problems = list(found.problems)
    newest: Counter[str] = Counter()
    for event in readable(values, PolicyEvent):
        newest[event.policy_name] += 1
        told = f"event {event.event_id}, {event.policy_name} version {event.policy_version}"
        if event.policy_version != newest[event.policy_name]:
            problems.append(f"{told}: it should be version {newest[event.policy_name]}")
        if text_digest(event.document) != event.policy_digest:
            problems.append(f"{told}: its text has another digest than {event.policy_digest}")
    return found._replace(problems=tuple(problems))


def text_digest(text: str) -> str:
    """Return the SHA-256 of a policy's text, in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def _refused(told: str) -> PolicyError:
    return PolicyError([Problem("$", told)], told)
