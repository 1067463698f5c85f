"""Wires the features service."""

from fastapi import FastAPI

from services.features.handlers import FeaturesHandler
from services.features.settings import FeaturesSettings
from shared.bus.base import Bus
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.runtime.clock import Clock
from shared.runtime.loop import Loop, LoopOptions
from shared.runtime.service import Service
from shared.store.base import Store

SERVICE = "features"


def build(settings: FeaturesSettings, bus: Bus, store: Store, clock: Clock) -> Service:
    """Return the service, wired and not started."""
    loop = Loop(
        service=SERVICE,
        name="windows",
        bus=bus,
        topics=[TRANSACTIONS.name, LABELS.name],
        handler=FeaturesHandler(FeatureEngine(FRAUD), store),
        clock=clock,
        instance=settings.headrace_instance,
        options=LoopOptions(records_max=settings.headrace_features_batch_records),
    )
    return Service(
        name=SERVICE,
        app=FastAPI(title="Headrace features", description="Events in, feature vectors out."),
        workers=(loop,),
        checks={"store": lambda: None if store.reachable() else "Redis does not answer"},
        closers=(bus.close, store.close),
    )
