"""What is announced on `policies`: a new version, or the version before again.

Each function that returns an event is meant for ChainedLog.append, so that nothing is announced in between.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.scoring.policy.document import POLICY_NAME, PolicyError, Problem
from services.scoring.policy.policy import Policy, policy_of
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


def publication(history: History, text: str, author: Author) -> PolicyEvent:
    """Return the event that puts a policy in force, as the next version.

    text: the policy as it was written.

    Raises:
        PolicyError: it cannot be used, it is the newest already, or what it would be announced with is wrong.
    """
    if history.events and history.events[-1].policy_digest == text_digest(text):
        raise _refused(f"this is version {history.events[-1].policy_version}, the newest, already")
    version = max((event.policy_version for event in history.events), default=0) + 1
    policy_of(text, version=version)
    event = PolicyEvent(
        event_id=new_event_id(author.at),
        occurred_at=author.at,
        trace_id=new_trace_id(),
        policy_name=POLICY_NAME,
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


def going_back(history: History, author: Author, *, version: int | None = None) -> PolicyEvent:
    """Return the event that puts an earlier policy in force again, as a new version.

    version: None goes back to the policy before the present one; twice in a row goes back two, not back and forth.

    Raises:
        PolicyError: there is none, or it cannot be used any more.
    """
    chosen = _previous(history) if version is None else version_of(history, version)
    return publication(history, chosen.document, author)


def _previous(history: History) -> PolicyEvent:
    """Return what was in force before; who publishes an earlier text again goes back to it."""
    stack: list[PolicyEvent] = []
    for event in history.events:
        same = [at for at, earlier in enumerate(stack) if earlier.policy_digest == event.policy_digest]
        stack = [*stack[: same[-1]], event] if same else [*stack, event]
    if len(stack) < 2:
        raise _refused("there is no earlier policy to go back to; publish one with `headrace policy publish`")
    return stack[-2]


def version_of(history: History, version: int | None) -> PolicyEvent:
    """Return the event of a version; None asks for the newest.

    Raises:
        PolicyError: there is no such version.
    """
    found = [event for event in history.events if version in (None, event.policy_version)]
    if not found:
        there = ", ".join(str(event.policy_version) for event in history.events) or "none yet"
        raise _refused(f"no such version of the policy was published; there is {there}")
    return found[-1]


def policy_in(event: PolicyEvent) -> Policy:
    """Return the policy that an event announces.

    Raises:
        PolicyError: it cannot be used, or it is not the text that the event's digest names.
    """
    if text_digest(event.document) != event.policy_digest:
        raise _refused(f"its text has the digest {text_digest(event.document)}, announced is {event.policy_digest}")
    return policy_of(event.document, version=event.policy_version)


def audited(values: Sequence[bytes | None], *, earlier_head: str | None = None) -> ChainAudit:
    """Check the whole `policies` topic: its chain, that versions count up, and that each text is the announced one.

    values: of all records, oldest first. earlier_head: as for `examined`.
    """
    found = examined(values, PolicyEvent, earlier_head=earlier_head)
    problems = list(found.problems)
    for at, event in enumerate(readable(values, PolicyEvent), start=1):
        told = f"event {event.event_id}, version {event.policy_version}"
        if event.policy_version != at:
            problems.append(f"{told}: it should be version {at}")
        if text_digest(event.document) != event.policy_digest:
            problems.append(f"{told}: its text has another digest than {event.policy_digest}")
    return found._replace(problems=tuple(problems))


def text_digest(text: str) -> str:
    """Return the SHA-256 of a policy's text, in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def _refused(told: str) -> PolicyError:
    return PolicyError([Problem("$", told)], told)
