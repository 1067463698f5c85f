"""The way to the log: one thread sends in order, and at most so many events wait for their acknowledgement."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from shared.bus.base import Bus, BusUnavailableError, Outgoing, Publisher
from shared.intake.problems import NotTakenError, UnacknowledgedError
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""After the log did not answer, requests are refused at once for this long rather than each waiting in turn."""


class Outbox:
    """Publishes without blocking its caller."""

    def __init__(self, bus: Bus, clock: Clock, *, outstanding_max: int, acknowledge_seconds_max: float) -> None:
        self._acknowledge_seconds_max = acknowledge_seconds_max
        self._bus = bus
        self._clock = clock
        self._outstanding_max = outstanding_max
        self._outstanding = 0
        self._away_until = float("-inf")
        self._troubled = False
        self._lock = threading.Lock()
        self._publisher: Publisher | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")

    def publish(self, records: Sequence[Outgoing]) -> "Future[None]":
        """Queue `records`; the future completes when the log has every one of them.

        It fails with NotTakenError when none was sent, and with UnacknowledgedError when some may have been.

        Raises:
            NotTakenError: too many events wait already.
        """
        with self._lock:
            if self._outstanding + len(records) > self._outstanding_max:
                raise NotTakenError("overloaded", f"{self._outstanding} events wait for the log already")
            self._outstanding += len(records)
        delivery = _Delivery(len(records), self._finish)
        if not records:
            delivery.settle(0, None)
            return delivery.done
        self._thread.submit(self._send, records, delivery)
        return delivery.done

    async def acknowledged(self, records: Sequence[Outgoing]) -> None:
        """Publish `records` and wait until the log has every one of them.

        Raises:
            NotTakenError: none was sent.
            UnacknowledgedError: some may have been; also when the log takes too long.
        """
        limit = self._acknowledge_seconds_max
        try:
            await asyncio.wait_for(asyncio.wrap_future(self.publish(records)), limit)
        except TimeoutError as error:
            raise UnacknowledgedError(f"the log did not acknowledge within {limit} s") from error

    def close(self) -> None:
        """Send what is queued, wait for the log, let go."""
        self._thread.shutdown()
        if self._publisher is not None:
            self._publisher.close()

    def _send(self, records: Sequence[Outgoing], delivery: "_Delivery") -> None:
        sent = 0
        try:
            publisher = self._open_publisher()
            for record in records:
                publisher.send(record).add_done_callback(delivery.settle_one)
                sent += 1
        except BusUnavailableError as error:
            if sent == 0:
                delivery.settle(len(records), NotTakenError("bus_unavailable", str(error)))
            else:
                delivery.settle(len(records) - sent, UnacknowledgedError(str(error)))
            if self._clock.monotonic_seconds() >= self._away_until:
                self._away_until = self._clock.monotonic_seconds() + PAUSE_SECONDS
        except Exception as bug:  # noqa: BLE001 - carried to the request, which fails with it
            delivery.settle(len(records) - sent, bug)

    def _open_publisher(self) -> Publisher:
        if self._clock.monotonic_seconds() < self._away_until:
            raise BusUnavailableError("the log did not answer a moment ago")
        if self._publisher is None:
            self._publisher = self._bus.publisher()
        return self._publisher

    def _finish(self, count: int, error: BaseException | None) -> None:
        with self._lock:
            self._outstanding -= count
            changed = (error is not None) != self._troubled
            self._troubled = error is not None
        if changed and error is not None:
            log.warning("the log does not take events: %s", error)
        elif changed:
            log.info("the log takes events again")


class _Delivery:
    """Counts the acknowledgements of one request's events."""

    def __init__(self, count: int, finish: Callable[[int, BaseException | None], None]) -> None:
        self._count = self._waiting = count
        self._finish = finish
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self.done: Future[None] = Future()
        # A request that is given up must not cancel what is on its way.
        self.done.set_running_or_notify_cancel()

    def settle_one(self, acknowledged: "Future[None]") -> None:
        """Take note of one acknowledgement, or of its failure."""
        error = acknowledged.exception()
        self.settle(1, UnacknowledgedError(str(error)) if isinstance(error, BusUnavailableError) else error)

    def settle(self, count: int, error: BaseException | None) -> None:
        """Take note that `count` events are done with."""
        with self._lock:
            self._waiting -= count
            self._error = self._error or error
            finished = self._waiting == 0
        if finished:
            self._finish(self._count, self._error)
            if self._error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(self._error)
