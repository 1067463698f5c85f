"""The policy of a kind that is in force, and the worker that follows the `policies` topic to keep it that."""

import logging
import threading
from typing import Generic

from services.scoring.policy.document import PolicyError
from services.scoring.policy.kinds import Kind, P
from services.scoring.policy.publishing import policy_in
from shared.bus.base import Bus, BusUnavailableError
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import PolicyEvent
from shared.contracts.topics import POLICIES, TOPICS
from shared.runtime import metrics
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_RETRY_SECONDS = 1.0


class PolicyInForce(Generic[P]):
    """Follows `policies`; the newest policy of its kind that can be used takes over between two questions.

    One that cannot (a feature that is not there any more, a record that was tampered with) stays out: the one before
    stays in force, the log says why, and a metric tells.
    """

    def __init__(self, bus: Bus, kind: Kind[P]) -> None:
        self.name = f"{kind.name} policy"
        self._bus = bus
        self._kind = kind
        self._current: P = kind.before_the_first
        self._version = metrics.POLICY_VERSION.labels(kind.name)
        self._failures = metrics.POLICY_FAILURES.labels(kind.name)
        self._caught_up = False

    def current(self) -> P:
        """Return the policy that decides now; the same object until another takes over."""
        return self._current

    def problem(self) -> str | None:
        return None if self._caught_up else "the policies topic has not been read yet"

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(stop)
            except BusUnavailableError as error:
                log.warning("the policy waits: %s", error)
                stop.wait(_RETRY_SECONDS)

    def _follow(self, stop: threading.Event) -> None:
        self._bus.create_topics(TOPICS)
        tail = self._bus.tail([POLICIES.name], start="oldest")
        unread: list[PolicyEvent] = []
        try:
            while not stop.is_set():
                for record in tail.poll(wait_seconds=_POLL_SECONDS):
                    read = _event(record.key, record.value, record.offset)
                    unread += [event for event in read if event.policy_name == self._kind.name]
                if tail.caught_up():
                    # Only the newest counts, so nothing is compiled before the topic's end is reached.
                    while unread and not self._put_in_force(unread.pop()):
                        pass
                    unread.clear()
                    self._caught_up = True
        finally:
            tail.close()

    def _put_in_force(self, event: PolicyEvent) -> bool:
        """Tell whether the policy of `event` is in force now."""
        try:
            before, self._current = self._current, policy_in(event, self._kind)
        except PolicyError as error:
            self._failures.inc()
            log.error(  # noqa: TRY400 - a person reads it, the traceback says nothing more
                "%s version %d stays out of force, fix and publish it again: %s",
                self.name,
                event.policy_version,
                error,
                **fields(trace_id=event.trace_id),
            )
            return False
        self._kind.let_go(before)
        self._version.set(event.policy_version)
        log.info("%s version %d is in force", self.name, event.policy_version, **fields(trace_id=event.trace_id))
        return True


def _event(key: bytes | None, value: bytes | None, offset: int) -> list[PolicyEvent]:
    try:
        event = codec.decode_record(POLICIES, key, value)
    except BadRecordError as error:
        metrics.DEAD_LETTERS.labels("scoring", POLICIES.name, error.error).inc()
        log.error("a record on policies was ignored: %s", error, **fields(offset=offset))  # noqa: TRY400
        return []
    return [event] if isinstance(event, PolicyEvent) else []
