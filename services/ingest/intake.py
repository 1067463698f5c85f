"""One request from its bytes to the log's acknowledgement."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from services.ingest.answers import Accepted, BatchAnswer, BatchItem
from services.ingest.handlers import take_batch
from services.ingest.idempotency import IdempotencyKeys
from shared.contracts.topics import Topic
from shared.intake.outbox import Outbox
from shared.intake.posted import Posted
from shared.intake.problems import IntakeError, NotTakenError
from shared.intake.taking import Taken, deletion, put, take
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.clock_skew import FutureBound
from shared.runtime.tracing.records import sending

if TYPE_CHECKING:
    from shared.runtime.tracing.spans import Tracing


@dataclass(frozen=True)
class Intake:
    """Takes events in.

    future: how far ahead of the clock an event may be dated.
    waiting_for: tells what keeps the log from taking events, or None.
    tracing: begins a span for each event whose trace is sampled.
    """

    outbox: Outbox
    idempotency_keys: IdempotencyKeys
    clock: Clock
    future: FutureBound
    waiting_for: Callable[[], str | None]
    batch_events_max: int
    tracing: "Tracing | None" = None

    async def take_one(
        self, posted: Posted, body: bytes, *, trace_id: str | None, idempotency_key: str | None
    ) -> Accepted:
        """Put the event in `body` on the log; raises IntakeError."""
        async with self._measured(posted.topic):
            if idempotency_key is None:
                taken = take(posted, body, trace_id=trace_id, future=self.future)
            else:
                taken = await asyncio.to_thread(self._take_under_key, posted, body, trace_id, idempotency_key)
            return await self._accepted(posted.topic, taken)

    async def put(self, posted: Posted, entry_id: str, body: bytes, *, trace_id: str | None) -> Accepted:
        """Put what makes `body` the entry of that id on the log; raises IntakeError."""
        async with self._measured(posted.topic):
            taken = put(posted, entry_id, body, now=self.clock.now(), trace_id=trace_id, future=self.future)
            return await self._accepted(posted.topic, taken)

    async def delete(self, posted: Posted, entry_id: str, *, trace_id: str | None) -> Accepted:
        """Put what deletes the entry of that id on the log; raises IntakeError."""
        async with self._measured(posted.topic):
            taken = deletion(posted, entry_id, now=self.clock.now(), trace_id=trace_id)
            return await self._accepted(posted.topic, taken)

    async def take_many(self, posted: Posted, body: bytes, *, trace_id: str | None) -> BatchAnswer:
        """Put the good events of the batch in `body` on the log; raises IntakeError when it fails as a whole."""
        async with self._measured(posted.topic):
            outcomes = take_batch(posted, body, events_max=self.batch_events_max, future=self.future, trace_id=trace_id)
            good = [outcome for outcome in outcomes if isinstance(outcome, Taken)]
            await self._publish(good)
        metrics.INGESTED.labels(posted.topic.name, "accepted").inc(len(good))
        metrics.INGESTED.labels(posted.topic.name, "rejected").inc(len(outcomes) - len(good))
        return BatchAnswer(
            accepted=len(good), rejected=len(outcomes) - len(good), items=[_item(outcome) for outcome in outcomes]
        )

    def _take_under_key(self, posted: Posted, body: bytes, trace_id: str | None, key: str) -> Taken:
        def choose_id(occurred_at: datetime) -> str:
            return self.idempotency_keys.settle(posted.topic, key, body, occurred_at)

        return take(posted, body, trace_id=trace_id, choose_id=choose_id, future=self.future)

    async def _accepted(self, topic: Topic, taken: Taken) -> Accepted:
        await self._publish([taken])
        metrics.INGESTED.labels(topic.name, "accepted").inc()
        return Accepted(event_id=taken.event_id, trace_id=taken.trace_id)

    async def _publish(self, events: Sequence[Taken]) -> None:
        if problem := self.waiting_for():
            raise NotTakenError("bus_unavailable", problem)
        records = [event.outgoing for event in events]
        if self.tracing is None:
            await self.outbox.acknowledged(records)
            return
        with sending(records, [event.trace_id for event in events], self.tracing) as traced:
            await self.outbox.acknowledged(traced)

    @asynccontextmanager
    async def _measured(self, topic: Topic) -> AsyncIterator[None]:
        started = self.clock.monotonic_seconds()
        try:
            yield
        except IntakeError as error:
            outcome = "unavailable" if error.retry_after_seconds else "rejected"
            metrics.INGESTED.labels(topic.name, outcome).inc()
            raise
        metrics.INGEST_SECONDS.labels(topic.name).observe(self.clock.monotonic_seconds() - started)


def _item(outcome: Taken | IntakeError) -> BatchItem:
    if isinstance(outcome, Taken):
        return BatchItem(status=202, event_id=outcome.event_id)
    return BatchItem(status=422, error=outcome.problem)
