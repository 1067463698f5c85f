"""Wires the features service."""

from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import FastAPI

from services.features.handlers import FeaturesHandler
from services.features.interactions import InteractionsHandler
from services.features.progress import StateProgress
from services.features.settings import FeaturesSettings
from shared.bus.base import Bus
from shared.contracts.topics import INTERACTIONS, LABELS, TRANSACTIONS, USERS
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.runtime.clock import Clock
from shared.runtime.loop import Loop, LoopOptions
from shared.runtime.service import Service
from shared.runtime.tracing.opening import tracing_for
from shared.runtime.tracing.store import stepped
from shared.store.base import Store

if TYPE_CHECKING:
    from shared.runtime.tracing.spans import Tracing

SERVICE = "features"


def build(settings: FeaturesSettings, bus: Bus, store: Store, clock: Clock) -> Service:
    """Return the service, wired and not started."""
    engine, tracing = FeatureEngine(FRAUD), tracing_for(SERVICE, settings)
    store = stepped(store) if tracing else store
    topics = [TRANSACTIONS.name, LABELS.name]
    progress = StateProgress(store, clock, FRAUD, has_read_before=lambda: bus.has_committed(loop.group, topics))
    loop = Loop(
        service=SERVICE,
        name="windows",
        bus=bus,
        topics=topics,
        handler=FeaturesHandler(engine, store, clock, age_max=settings.state_age_max, lag_records=progress.lag_records),
        clock=clock,
        instance=settings.headrace_instance,
        options=LoopOptions(
            records_max=settings.headrace_features_batch_records, in_order=True, future_max=settings.future_max
        ),
        wait_until=progress.not_open,
        on_progress=progress.report,
        tracing=tracing,
    )
    return Service(
        name=SERVICE,
        app=FastAPI(title="Headrace features", description="Events in, feature vectors out."),
        workers=(loop, *_shoppers(settings, bus, store, clock, tracing)),
        checks={"store": lambda: None if store.reachable() else "Redis does not answer", "state": progress.problem},
        closers=(bus.close, store.close),
        tracing=tracing,
    )


def _shoppers(
    settings: FeaturesSettings, bus: Bus, store: Store, clock: Clock, tracing: "Tracing | None"
) -> list[Loop]:
    """Return a loop for interactions and one for users: no click waits while many users are imported."""
    handler = InteractionsHandler(store, kept_for=timedelta(days=settings.headrace_features_history_days))
    options = LoopOptions(records_max=settings.headrace_features_batch_records, future_max=settings.future_max)
    return [
        Loop(
            service=SERVICE,
            name=name,
            bus=bus,
            topics=[topic.name],
            handler=handler,
            clock=clock,
            instance=settings.headrace_instance,
            options=options,
            tracing=tracing,
        )
        for name, topic in (("histories", INTERACTIONS), ("profiles", USERS))
    ]
