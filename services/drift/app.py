"""Wires the drift service."""

from collections.abc import Sequence

from services.drift import handlers
from services.drift.checkpoint import FOLDER_NAME, Checkpoint, Checkpointed, Remembering
from services.drift.handlers import Monitor
from services.drift.history import ModelHistory
from services.drift.recommendation import handlers as recommendation_handlers
from services.drift.recommendation.handlers import RecommendationMonitor
from services.drift.settings import DriftSettings
from services.drift.shown.endpoints import SCHEMAS, add_routes
from services.drift.shown.status import Snapshot
from shared.bus.base import Bus
from shared.intake.http import DescribedApi
from shared.models.registry import Registry
from shared.runtime.clock import Clock
from shared.runtime.loop import Handler, Loop, LoopOptions
from shared.runtime.service import Service
from shared.store.base import Store

SERVICE = "drift"


def build(settings: DriftSettings, bus: Bus, store: Store, clock: Clock) -> Service:
    """Return the service, wired and not started."""
    registry = Registry(settings.headrace_home, tracking_uri=settings.mlflow_tracking_uri)

    def kept(name: str, monitor: Remembering) -> Checkpointed:
        path = settings.headrace_home / FOLDER_NAME / f"{settings.headrace_instance}-{name}.checkpoint"
        return Checkpointed(
            name,
            monitor,
            Checkpoint(path, settings),
            clock,
            interval_seconds=settings.headrace_drift_checkpoint_seconds,
        )

    def loop(name: str, topics: Sequence[str], handler: Handler, *, in_order: bool) -> Loop:
        return Loop(
            service=SERVICE,
            name=name,
            bus=bus,
            topics=topics,
            handler=handler,
            clock=clock,
            instance=settings.headrace_instance,
            # Nobody waits for an alarm by the millisecond: few large batches cost least.
            options=LoopOptions(
                records_max=5_000, linger_seconds=0.5, in_order=in_order, future_max=settings.future_max
            ),
            wait_until=ModelHistory(bus, handler).problem,
        )

    payments = Monitor(registry.manifest, settings, clock)
    monitor = kept("monitor", payments)
    recommending = kept("recommendations", RecommendationMonitor(settings, clock))

    def snapshot() -> Snapshot:
        known = [monitor.status(), recommending.status()]
        return Snapshot(taken_at=clock.now(), models=[status for status in known if status is not None])

    app = DescribedApi(title="Headrace drift", description="Watches the models in service.", schemas=SCHEMAS)
    add_routes(app, snapshot)
    return Service(
        name=SERVICE,
        app=app,
        workers=(
            loop("monitor", handlers.TOPIC_NAMES, monitor, in_order=False),
            loop("recommendations", recommendation_handlers.TOPIC_NAMES, recommending, in_order=True),
        ),
        checks={"model": payments.problem},
        closers=(monitor.close, recommending.close, bus.close, store.close),
    )
