"""Wires the training service."""

from datetime import timedelta

from fastapi import FastAPI

from services.training.archive import Archive
from services.training.attempts import Attempts
from services.training.columns import ARCHIVED_TOPICS
from services.training.handlers import ArchiveHandler, RequestHandler, Trains
from services.training.model_log import ModelLog
from services.training.parity import ParityJob
from services.training.recommendation.trainer import RecommendationTrainer
from services.training.settings import TrainingSettings
from services.training.trainer import Show, Trainer
from shared.bus.base import Bus
from shared.contracts.topics import RETRAINING
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import MODEL_NAME, RECOMMENDATION
from shared.models.registry import Registry
from shared.runtime.clock import Clock
from shared.runtime.loop import Loop, LoopOptions
from shared.runtime.service import Service
from shared.store.base import Store

SERVICE = "training"


def trainers(
    archive: Archive,
    registry: Registry,
    settings: TrainingSettings,
    clock: Clock,
    *,
    show: Show = lambda _part, _progress: None,
) -> dict[str, Trains]:
    """Return what trains each model, by its name."""
    return {
        MODEL_NAME: Trainer(archive, registry, FRAUD, settings, clock, show=show),
        RECOMMENDATION: RecommendationTrainer(archive, registry, settings, clock, show=show),
    }


def build(settings: TrainingSettings, bus: Bus, store: Store, clock: Clock) -> Service:
    """Return the service, wired and not started; it needs no store."""
    archive = Archive(settings.headrace_home / "archive", [FRAUD])
    registry = Registry(settings.headrace_home, tracking_uri=settings.mlflow_tracking_uri)
    archiving = Loop(
        service=SERVICE,
        name="archive",
        bus=bus,
        topics=ARCHIVED_TOPICS,
        handler=ArchiveHandler(archive),
        clock=clock,
        instance=settings.headrace_instance,
        options=LoopOptions(
            records_max=settings.headrace_training_archive_batch_records,
            linger_seconds=settings.headrace_training_archive_linger_seconds,
            future_max=settings.future_max,
        ),
    )
    answering = Loop(
        service=SERVICE,
        name="requests",
        bus=bus,
        topics=[RETRAINING.name],
        handler=RequestHandler(
            trainers(archive, registry, settings, clock),
            ModelLog(bus),
            Attempts(settings.headrace_home / "attempts"),
            clock,
            interval=timedelta(seconds=settings.headrace_training_interval_seconds_min),
        ),
        clock=clock,
        instance=settings.headrace_instance,
        options=LoopOptions(records_max=1),
    )
    parity = ParityJob(
        archive,
        FRAUD,
        clock,
        interval_seconds=settings.headrace_parity_interval_seconds,
        sample=settings.headrace_parity_sample,
    )
    return Service(
        name=SERVICE,
        app=FastAPI(title="Headrace training", description="Archive in, models out."),
        workers=(archiving, answering, parity),
        closers=(bus.close, store.close),
    )
