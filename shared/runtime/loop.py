"""The consume-transform-produce loop: the one way a service reads a topic and answers on another.

Each batch is read, decoded, handled and committed with its results in one transaction. A record that cannot be
decoded goes to its dead-letter topic in the same transaction. A neighbour that is away is waited for; a batch that
lost its partitions is given up and read again by whoever owns them now.
"""

import contextlib
import itertools
import logging
import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_when_event_set,
    wait_random_exponential,
)

from shared.bus.base import (
    Bus,
    BusUnavailableError,
    FencedError,
    Outgoing,
    Record,
    Standing,
    Subscription,
    TopicPartition,
)
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import Event
from shared.contracts.topics import BY_NAME, TOPICS
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.clock_skew import AHEAD_OF_CLOCK, FutureBound
from shared.runtime.dead_letters import letter_about, rejection
from shared.runtime.lag import lag_seconds
from shared.runtime.logs import fields
from shared.runtime.tracing.acting import acting_for, step
from shared.runtime.tracing.records import Reader, going_on
from shared.store.base import StoreUnavailableError

if TYPE_CHECKING:
    from shared.runtime.tracing.spans import Traced, Tracing

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5
"""How often, at most, a loop tells how far it is."""
_UNTRACED = contextlib.nullcontext()


class Delivery(NamedTuple):
    """One decoded event and the record it came in, whose headers are those that its answers are to carry."""

    record: Record
    event: Event


Handler = Callable[[Sequence[Delivery]], Sequence[Outgoing]]
"""A batch in arrival order to the records that answer it.

May raise StoreUnavailableError or BusUnavailableError, after which it is called again with the same batch: calling
it twice must change nothing more than calling it once.
"""


OnProgress = Callable[[Mapping[TopicPartition, Standing], datetime], None]
"""Told where a loop stands in its partitions; everything it read is handled and committed then.

With it a time: what the log had by then and the loop has not read is counted as waiting. May raise
StoreUnavailableError, after which it is told again later.
"""


@dataclass(frozen=True)
class LoopOptions:
    """How a loop gathers its batches.

    records_max: most records in one batch.
    linger_seconds: how long to gather after the first record; 0 handles what is there at once.
    in_order: read the partitions and topics merged by the time their records were produced (Bus.subscribe).
    future_max: how far ahead of the clock an event of a topic that clients write may be dated; None takes any time.
    """

    records_max: int = 500
    linger_seconds: float = 0.0
    in_order: bool = False
    poll_seconds: float = 0.2
    backoff_seconds_max: float = 5.0
    future_max: timedelta | None = None


class Loop:
    """A worker that runs a handler over a group's share of some topics."""

    def __init__(  # noqa: PLR0913 - each is a separate choice of the service
        self,
        *,
        service: str,
        name: str,
        bus: Bus,
        topics: Sequence[str],
        handler: Handler,
        clock: Clock,
        instance: str,
        options: LoopOptions = LoopOptions(),
        wait_until: Callable[[], str | None] = lambda: None,
        on_progress: OnProgress = lambda _standing, _as_of: None,
        tracing: "Tracing | None" = None,
    ) -> None:
        """Wire the loop; `run` starts it.

        wait_until: no record is read while this tells a problem.
        on_progress: called about every PROGRESS_SECONDS.
        tracing: begins a span for each record whose trace is sampled.
        """
        self.name = name
        self._service = service
        self._bus = bus
        self._topics = tuple(topics)
        self._handler = handler
        self._clock = clock
        self._instance = instance
        self._options = options
        self._future = None if options.future_max is None else FutureBound(clock, options.future_max)
        self._wait_until = wait_until
        self._on_progress = on_progress
        self._tracing = tracing
        self._told_seconds = -math.inf
        self._problem: str | None = "not started"
        self._stop = threading.Event()

    @property
    def group(self) -> str:
        """The consumer group: the service, and the loop where a service has several."""
        return f"headrace-{self._service}-{self.name}"

    def problem(self) -> str | None:
        return self._problem

    def run(self, stop: threading.Event) -> None:
        self._stop = stop
        while not stop.is_set():
            try:
                subscription = self._retrying(BusUnavailableError)(self._subscribe)
            except BusUnavailableError:
                break  # only when told to stop while waiting
            try:
                self._work(subscription)
            except FencedError as error:
                metrics.LOOP_FENCED.labels(self._service).inc()
                log.info("%s: %s", self.name, error)
            except BusUnavailableError as error:
                self._say_waiting(error)
                stop.wait(min(1.0, self._options.backoff_seconds_max))
            finally:
                subscription.close()
        self._problem = "stopped"

    def _subscribe(self) -> Subscription:
        self._bus.create_topics(TOPICS)
        instance = f"{self._service}-{self.name}-{self._instance}"
        options = self._options
        return self._bus.subscribe(
            self.group,
            self._topics,
            instance=instance,
            in_order=options.in_order,
            gather_seconds=options.linger_seconds,
        )

    def _work(self, subscription: Subscription) -> None:
        options = self._options
        heard = self._clock.now()
        while not self._stop.is_set():
            if (problem := self._wait_until()) is not None:
                self._problem = problem
                self._stop.wait(options.poll_seconds)
                continue
            records = subscription.poll(
                records_max=options.records_max,
                wait_seconds=options.poll_seconds,
                linger_seconds=options.linger_seconds,
            )
            is_due = self._clock.monotonic_seconds() - self._told_seconds >= PROGRESS_SECONDS
            standing = subscription.standing() if is_due or not records else {}
            # What this poll brought may have been fetched as soon as the last one ended.
            as_of, heard = heard, self._clock.now()
            self._problem = None if standing or records else "waiting for partitions"
            if is_due or not records:
                self._tell_lag(standing.values())  # also when every partition went to somebody else
            if (not records or self._handle(subscription, records)) and is_due:
                self._tell_progress(standing, as_of)

    def _tell_lag(self, standing: Collection[Standing]) -> None:
        waiting = sum(partition.waiting_records for partition in standing)
        metrics.LOOP_LAG_RECORDS.labels(self._service, self.name).set(waiting)
        metrics.LOOP_LAG_SECONDS.labels(self._service, self.name).set(lag_seconds(standing, self._clock.now()))

    def _tell_progress(self, standing: Mapping[TopicPartition, Standing], as_of: datetime) -> None:
        self._told_seconds = self._clock.monotonic_seconds()
        try:
            self._on_progress(standing, as_of)
        except StoreUnavailableError as error:
            self._say_waiting(error)

    def _handle(self, subscription: Subscription, records: Sequence[Record]) -> bool:
        """Handle and commit a batch; tell whether it was, or the loop was told to stop before."""
        started = self._clock.monotonic_seconds()
        passing, spans = going_on(records, self._tracing, Reader(self.group, self._instance))
        with acting_for(spans) if spans else _UNTRACED:
            deliveries, rejected = self._decoded(passing, spans)
            try:
                outgoing = self._retrying((StoreUnavailableError, BusUnavailableError))(self._handler, deliveries)
            except (StoreUnavailableError, BusUnavailableError) as error:
                for span in spans:
                    span.fail(error)
                return False  # only when told to stop while waiting: not committed, so read again after the restart
            published = [*outgoing, *rejected]
            committing = self._clock.monotonic_seconds()
            with step("commit"):
                subscription.commit(published)
        self._count(records, published)
        ended = self._clock.monotonic_seconds()
        metrics.LOOP_COMMIT_SECONDS.labels(self._service, self.name).observe(ended - committing)
        metrics.LOOP_BATCH_SECONDS.labels(self._service, self.name).observe(ended - started)
        return True

    def _decoded(self, records: Sequence[Record], spans: "Sequence[Traced]") -> tuple[list[Delivery], list[Outgoing]]:
        deliveries: list[Delivery] = []
        rejected: list[Outgoing] = []
        for record in records:
            try:
                event = self._event(record)
            except BadRecordError as error:
                rejected.append(self._rejected(record, error, spans))
            else:
                deliveries.append(Delivery(record, event))
        return deliveries, rejected

    def _rejected(self, record: Record, error: BadRecordError, spans: "Sequence[Traced]") -> Outgoing:
        """Return the dead letter of a record, and have the rejection counted, logged and traced."""
        letter = rejection(self._service, record, error, self._clock.now())
        metrics.DEAD_LETTERS.labels(self._service, record.topic, error.error).inc()
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.warning("record rejected: %s", error, **fields(trace_id=letter.trace_id, **place, error=error.error))
        for span in spans:
            if span.headers is record.headers:
                span.fail(error.error)
        return letter_about(record, letter)

    def _event(self, record: Record) -> Event:
        topic = BY_NAME[record.topic]
        event = codec.decode_record(topic, record.key, record.value)
        if self._future is not None and "ingest" in topic.written_by:
            complaint = self._future.complaint(event.occurred_at)
            if complaint is not None:
                raise BadRecordError(AHEAD_OF_CLOCK, complaint)
        return event

    def _count(self, records: Sequence[Record], published: Sequence[Outgoing]) -> None:
        for topic, group in itertools.groupby(sorted(record.topic for record in records)):
            metrics.RECORDS_CONSUMED.labels(self._service, topic).inc(len(list(group)))
        for topic, group in itertools.groupby(sorted(outgoing.topic for outgoing in published)):
            metrics.RECORDS_PUBLISHED.labels(self._service, topic).inc(len(list(group)))

    def _retrying(self, errors: type[Exception] | tuple[type[Exception], ...]) -> Retrying:
        def before_sleep(state: RetryCallState) -> None:
            outcome = state.outcome
            self._say_waiting(outcome.exception() if outcome else None)

        return Retrying(
            retry=retry_if_exception_type(errors),
            wait=wait_random_exponential(multiplier=0.1, max=self._options.backoff_seconds_max),
            stop=stop_when_event_set(self._stop),
            sleep=self._sleep,
            before_sleep=before_sleep,
            reraise=True,
        )

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _say_waiting(self, error: BaseException | None) -> None:
        self._problem = str(error)
        neighbour = "store" if isinstance(error, StoreUnavailableError) else "kafka"
        metrics.LOOP_RETRIES.labels(self._service, neighbour).inc()
        log.warning("%s waits: %s", self.name, error)
