"""Wires the drift service."""

from collections.abc import Sequence

from fastapi import FastAPI

from services.drift import handlers, recommendations
from services.drift.handlers import Monitor
from services.drift.history import ModelHistory
from services.drift.recommendations import RecommendationMonitor
from services.drift.settings import DriftSettings
from shared.bus.base import Bus
from shared.models.registry import Registry
from shared.runtime.clock import Clock
from shared.runtime.loop import Handler, Loop, LoopOptions
from shared.runtime.service import Service
from shared.store.base import Store

SERVICE = "drift"


def build(settings: DriftSettings, bus: Bus, store: Store, clock: Clock) -> Service:
    """Return the service, wired and not started."""
    registry = Registry(settings.headrace_home, tracking_uri=settings.mlflow_tracking_uri)
    monitor, recommendation_monitor = (
        Monitor(registry.manifest, settings, clock),
        RecommendationMonitor(settings, clock),
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

    return Service(
        name=SERVICE,
        app=FastAPI(title="Headrace drift", description="Watches the models in service."),
        workers=(
            loop("monitor", handlers.TOPIC_NAMES, monitor, in_order=False),
            loop("recommendations", recommendations.TOPIC_NAMES, recommendation_monitor, in_order=True),
        ),
        checks={"model": monitor.problem},
        closers=(bus.close, store.close),
    )
