"""Wires the training service."""

from datetime import timedelta

from fastapi import FastAPI

from services.training.archive import Archive
from services.training.attempts import Attempts
from services.training.columns import ARCHIVED_TOPICS
from services.training.handlers import ArchiveHandler, RequestHandler, Trains
from services.training.model_log import ModelLog
from services.training.parity import ParityJob
from services.training.recalibration.job import RecalibrationJob
from services.training.recalibration.recalibrator import Recalibrator
from services.training.recommendation.trainer import RecommendationTrainer
from services.training.rollout.job import RolloutJob
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
    model_log, by_name = ModelLog(bus), trainers(archive, registry, settings, clock)
    parity = ParityJob(
        archive,
        FRAUD,
        clock,
        interval_seconds=settings.headrace_parity_interval_seconds,
        sample=settings.headrace_parity_sample,
    )
    show_champion = by_name[MODEL_NAME].show_champion
    rollout = RolloutJob(archive, FRAUD, model_log, settings, clock, show_champion=show_champion)
    return Service(
        name=SERVICE,
        app=FastAPI(title="Headrace training", description="Archive in, models out."),
        workers=(
            _archiving(settings, bus, clock, archive),
            _answering(settings, bus, clock, by_name, model_log),
            parity,
            rollout,
            _recalibrating(settings, clock, registry, model_log),
        ),
        closers=(bus.close, store.close),
    )


def _recalibrating(
    settings: TrainingSettings, clock: Clock, registry: Registry, model_log: ModelLog
) -> RecalibrationJob:
    recalibrator = Recalibrator(settings.headrace_home, registry, FRAUD, model_log, settings)
    interval_seconds = settings.headrace_training_recalibration_interval_seconds
    return RecalibrationJob(recalibrator, clock, interval_seconds=interval_seconds)


def _archiving(settings: TrainingSettings, bus: Bus, clock: Clock, archive: Archive) -> Loop:
    return Loop(
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


def _answering(
    settings: TrainingSettings, bus: Bus, clock: Clock, by_name: dict[str, Trains], model_log: ModelLog
) -> Loop:
    return Loop(
        service=SERVICE,
        name="requests",
        bus=bus,
        topics=[RETRAINING.name],
        handler=RequestHandler(
            by_name,
            model_log,
            Attempts(settings.headrace_home / "attempts"),
            clock,
            interval=timedelta(seconds=settings.headrace_training_interval_seconds_min),
            staged=settings.headrace_training_staged,
        ),
        clock=clock,
        instance=settings.headrace_instance,
        options=LoopOptions(records_max=1),
    )
