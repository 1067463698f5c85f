"""Creates the topics at start, so that the first event has somewhere to go."""

import logging
import threading

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from shared.bus.base import Bus, BusUnavailableError
from shared.contracts.topics import TOPICS

log = logging.getLogger(__name__)


class TopicCreation:
    """A worker that is done once every topic exists."""

    name = "topics"

    def __init__(self, bus: Bus, *, backoff_seconds_max: float = 5.0) -> None:
        self._bus = bus
        self._backoff_seconds_max = backoff_seconds_max
        self._problem: str | None = "topics not created yet"

    def run(self, stop: threading.Event) -> None:
        retrying = Retrying(
            retry=retry_if_exception_type(BusUnavailableError),
            wait=wait_random_exponential(multiplier=0.2, max=self._backoff_seconds_max),
            stop=stop_when_event_set(stop),
            sleep=sleep_using_event(stop),
            before_sleep=self._say_waiting,
            reraise=True,
        )
        try:
            retrying(self._bus.create_topics, TOPICS)
        except BusUnavailableError:
            return  # only when told to stop while waiting
        self._problem = None

    def problem(self) -> str | None:
        return self._problem

    def _say_waiting(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._problem = f"topics not created yet: {error}"
        log.warning("topic creation waits: %s", error)
