"""Wires the drift service."""

from fastapi import FastAPI

from services.drift.handlers import TOPIC_NAMES, Monitor
from services.drift.history import ModelHistory
from services.drift.settings import DriftSettings
from shared.bus.base import Bus
from shared.models.registry import Registry
from shared.runtime.clock import Clock
from shared.runtime.loop import Loop, LoopOptions
from shared.runtime.service import Service
from shared.store.base import Store

SERVICE = "drift"


def build(settings: DriftSettings, bus: Bus, store: Store, clock: Clock) -> Service:
    """Return the service, wired and not started."""
    registry = Registry(settings.headrace_home, tracking_uri=settings.mlflow_tracking_uri)
    monitor = Monitor(registry.manifest, settings, clock)
    history = ModelHistory(bus, monitor)
    loop = Loop(
        service=SERVICE,
        name="monitor",
        bus=bus,
        topics=TOPIC_NAMES,
        handler=monitor,
        clock=clock,
        instance=settings.headrace_instance,
        # Nobody waits for an alarm by the millisecond: few large batches cost least.
        options=LoopOptions(records_max=5_000, linger_seconds=0.5, future_max=settings.future_max),
        wait_until=history.problem,
    )
    return Service(
        name=SERVICE,
        app=FastAPI(title="Headrace drift", description="Watches the model in service."),
        workers=(loop,),
        checks={"model": monitor.problem},
        closers=(bus.close, store.close),
    )
