"""Wires the scoring service."""

from services.scoring.champion import Champion
from services.scoring.direct import DirectScoring
from services.scoring.endpoints import scoring_api
from services.scoring.handlers import ScoringHandler
from services.scoring.settings import ScoringSettings
from shared.bus.base import Bus
from shared.contracts.topics import FEATURES
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.intake.outbox import Outbox
from shared.models.manifest import MODEL_NAME
from shared.models.registry import Registry
from shared.runtime.clock import Clock
from shared.runtime.clock_skew import FutureBound
from shared.runtime.loop import Loop, LoopOptions
from shared.runtime.service import Service
from shared.store.base import Store

SERVICE = "scoring"


def build(settings: ScoringSettings, bus: Bus, store: Store, clock: Clock) -> Service:
    """Return the service, wired and not started."""
    champion = Champion(
        bus,
        Registry(settings.headrace_home, tracking_uri=settings.mlflow_tracking_uri),
        model_name=MODEL_NAME,
        retry_seconds=settings.headrace_scoring_model_retry_seconds,
    )
    handler = ScoringHandler(lambda: champion.model, fallback=settings.headrace_scoring_fallback, clock=clock)
    loop = Loop(
        service=SERVICE,
        name="decisions",
        bus=bus,
        topics=[FEATURES.name],
        handler=handler,
        clock=clock,
        instance=settings.headrace_instance,
        options=LoopOptions(records_max=settings.headrace_scoring_batch_records),
        wait_until=champion.problem,
    )
    outbox = Outbox(
        bus,
        clock,
        outstanding_max=settings.headrace_scoring_outstanding_max,
        acknowledge_seconds_max=settings.headrace_scoring_acknowledge_seconds_max,
    )
    direct = DirectScoring(FeatureEngine(FRAUD), store, handler, outbox, clock, age_max=settings.state_age_max)
    return Service(
        name=SERVICE,
        app=scoring_api(
            direct,
            future=FutureBound(clock, settings.future_max),
            body_bytes_max=settings.headrace_scoring_body_bytes_max,
        ),
        workers=(champion, loop),
        checks={"store": lambda: None if store.reachable() else "Redis does not answer"},
        closers=(outbox.close, bus.close, store.close),
    )
