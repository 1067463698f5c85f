"""What was shown goes to the log, some lists at a time, and nobody waits for that."""

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future

from shared.bus.base import Bus, BusUnavailableError, Outgoing, Publisher
from shared.contracts import codec
from shared.contracts.shopping import Impression
from shared.contracts.topics import IMPRESSIONS
from shared.runtime import metrics

log = logging.getLogger(__name__)

RECENT_MAX = 64
"""Items of the history that an impression names."""

_LINGER_SECONDS = 0.1
"""A thread that wakes for every list holds up those who wait for theirs."""
_IDLE_SECONDS = 0.5
_RETRY_SECONDS = 1.0


class Impressions:
    """A worker that publishes impressions; while the log is away they wait in memory, up to a bound."""

    name = "impressions"

    def __init__(self, bus: Bus, *, waiting_max: int) -> None:
        """Wire it; beyond `waiting_max` that wait, impressions are lost, and counted."""
        self._bus = bus
        self._waiting_max = waiting_max
        self._waiting: deque[Impression] = deque()
        self._some = threading.Event()
        self._publisher: Publisher | None = None
        self._problem: str | None = None

    def publish(self, impression: Impression) -> bool:
        """Have one published; tell whether it will be: not where too many wait already."""
        if len(self._waiting) >= self._waiting_max:
            metrics.IMPRESSIONS_LOST.inc()
            return False
        self._waiting.append(impression)
        self._some.set()
        return True

    def problem(self) -> str | None:
        return self._problem

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if self._some.wait(_IDLE_SECONDS):
                stop.wait(_LINGER_SECONDS)
                self._send_all(stop)
        self._send_all(stop)
        if self._publisher is not None:
            self._publisher.close()
        metrics.IMPRESSIONS_LOST.inc(len(self._waiting))

    def _send_all(self, stop: threading.Event) -> None:
        self._some.clear()
        try:
            if self._publisher is None:
                self._publisher = self._bus.publisher()
            while self._waiting:
                _send(self._publisher, self._waiting[0])
                self._waiting.popleft()
                time.sleep(0)  # lets requests go first: sending is Python, and holds the interpreter
        except BusUnavailableError as error:
            self._say(f"{len(self._waiting)} impressions wait: {error}")
            self._some.set()
            stop.wait(_RETRY_SECONDS)
        else:
            self._say(None)

    def _say(self, problem: str | None) -> None:
        was, self._problem = self._problem, problem
        if problem is not None and was is None:
            log.warning(problem)


def _send(publisher: Publisher, impression: Impression) -> None:
    record = Outgoing(IMPRESSIONS.name, impression.user_id.encode(), codec.encode(impression))
    publisher.send(record).add_done_callback(_count)


def _count(sent: "Future[None]") -> None:
    if sent.exception() is not None:
        metrics.IMPRESSIONS_LOST.inc()
