"""Where ingest is wired together."""

from datetime import timedelta

from services.ingest.endpoints import ingest_api
from services.ingest.idempotency import IdempotencyKeys
from services.ingest.intake import Intake
from services.ingest.settings import IngestSettings
from services.ingest.topic_creation import TopicCreation
from shared.access.gate import gate_for
from shared.bus.base import Bus
from shared.intake.outbox import Outbox
from shared.runtime.clock import Clock
from shared.runtime.clock_skew import FutureBound
from shared.runtime.service import Service
from shared.runtime.tracing.opening import tracing_for
from shared.store.base import Store


def build(settings: IngestSettings, bus: Bus, store: Store, clock: Clock) -> Service:
    """Return ingest, wired and not yet started."""
    topics, tracing = TopicCreation(bus), tracing_for("ingest", settings)
    outbox = Outbox(
        bus,
        clock,
        outstanding_max=settings.headrace_ingest_outstanding_max,
        acknowledge_seconds_max=settings.headrace_ingest_acknowledge_seconds_max,
    )
    intake = Intake(
        outbox=outbox,
        idempotency_keys=IdempotencyKeys(store, remember=timedelta(hours=settings.headrace_ingest_idempotency_hours)),
        clock=clock,
        future=FutureBound(clock, settings.future_max),
        waiting_for=topics.problem,
        batch_events_max=settings.headrace_ingest_batch_events_max,
        tracing=tracing,
    )
    gate = gate_for(settings, clock)
    app = ingest_api(
        intake,
        gate,
        event_bytes_max=settings.headrace_ingest_event_bytes_max,
        batch_bytes_max=settings.headrace_ingest_batch_bytes_max,
    )
    return Service(
        name="ingest",
        app=app,
        workers=(topics,),
        checks={"kafka": lambda: None if bus.reachable() else "Kafka does not answer"},
        closers=(outbox.close, bus.close, store.close),
        gate=gate,
        tracing=tracing,
    )
