"""Wires the scoring service."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import FastAPI

from services.scoring.answers import Unclaimed
from services.scoring.counting import begin_at_zero
from services.scoring.deployment import Deployment
from services.scoring.direct import DirectScoring, Limits
from services.scoring.drain import Drain
from services.scoring.endpoints import Bounds, Scoring
from services.scoring.handlers import ScoringHandler
from services.scoring.inference import INFERENCE_SCHEMAS, inference_routes
from services.scoring.jobs.described import JOB_SCHEMAS
from services.scoring.jobs.endpoints import InForce, job_routes
from services.scoring.jobs.listing import entries_on
from services.scoring.jobs.runner import JobLimits, JobRunner
from services.scoring.journal import Journal
from services.scoring.model import ScoringModel, loading
from services.scoring.policy.in_force import PolicyInForce
from services.scoring.policy.kinds import PAYMENTS
from services.scoring.policy.lists_in_force import ListsInForce
from services.scoring.policy.policy import Policy
from services.scoring.recommendations.wiring import wired
from services.scoring.scorer import Scorer
from services.scoring.settings import ScoringSettings
from services.scoring.state import StateReader
from shared.access.gate import gate_for
from shared.access.probing import ProbingBudget
from shared.bus.base import Bus
from shared.contracts.topics import FEATURES
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.models.manifest import MODEL_NAME
from shared.models.registry import Registry
from shared.runtime.clock import Clock
from shared.runtime.clock_skew import FutureBound
from shared.runtime.loop import Loop, LoopOptions
from shared.runtime.service import Service
from shared.runtime.tracing.opening import tracing_for
from shared.runtime.tracing.store import stepped
from shared.store.base import Store

if TYPE_CHECKING:
    from shared.runtime.tracing.spans import Tracing

SERVICE = "scoring"


@dataclass(frozen=True)
class _InForce:
    """Who follows what decides: models, the policy, lists."""

    deployment: Deployment[ScoringModel]
    policy: PolicyInForce[Policy]
    lists: ListsInForce

    def problem(self) -> str | None:
        """Tell what is not known yet; until it is, nothing must be decided."""
        return self.deployment.problem() or self.policy.problem() or self.lists.problem()


def build(settings: ScoringSettings, bus: Bus, store: Store, clock: Clock) -> Service:
    """Return the service, wired and not started."""
    begin_at_zero()
    tracing = tracing_for(SERVICE, settings)
    store = stepped(store) if tracing else store
    registry = Registry(settings.headrace_home, tracking_uri=settings.mlflow_tracking_uri)
    in_force = _in_force(settings, registry, bus, store, clock)
    scorer = Scorer(
        lambda: in_force.deployment.roles, in_force.policy.current, fallback=settings.headrace_scoring_fallback
    )
    engine, unclaimed = FeatureEngine(FRAUD), Unclaimed()
    journal = _journal(settings)
    drain = Drain(journal, bus, store, engine, unclaimed, clock)
    handler = ScoringHandler(scorer, in_force.lists.current, store, unclaimed, clock)
    loop = _loop(settings, bus, clock, handler, lambda: in_force.problem() or drain.not_settled(), tracing)
    states = store.on_event_loop()
    reader = StateReader(engine, states, in_force.lists.current, clock, age_max=settings.state_age_max)
    direct = DirectScoring(
        reader,
        states,
        scorer,
        journal,
        unclaimed,
        clock,
        limits=_limits(settings),
        is_synced=settings.headrace_scoring_journal_fsync,
        not_ready=in_force.problem,
    )
    gate = gate_for(settings, clock)
    scoring = Scoring(
        direct, lambda: in_force.deployment.roles, gate, _probing(settings, clock), clock, _bounds(settings, clock)
    )
    recommending = wired(settings, bus, store, states, registry, clock)
    api = scoring.api([INFERENCE_SCHEMAS, JOB_SCHEMAS, recommending.schemas], recommending.hot_routes)
    recommending.add_routes(api)
    jobs = _other_routes(api, settings, in_force, bus, clock)
    return Service(
        name=SERVICE,
        app=api,
        workers=(in_force.deployment, in_force.policy, in_force.lists, drain, loop, jobs, *recommending.workers),
        checks={"store": lambda: None if store.reachable() else "Redis does not answer"},
        closers=(states.close, bus.close, store.close),
        gate=gate,
        tracing=tracing,
    )


def _loop(
    settings: ScoringSettings,
    bus: Bus,
    clock: Clock,
    handler: ScoringHandler,
    wait_until: Callable[[], str | None],
    tracing: "Tracing | None",
) -> Loop:
    return Loop(
        service=SERVICE,
        name="decisions",
        bus=bus,
        topics=[FEATURES.name],
        handler=handler,
        clock=clock,
        instance=settings.headrace_instance,
        options=LoopOptions(records_max=settings.headrace_scoring_batch_records),
        wait_until=wait_until,
        tracing=tracing,
    )


def _in_force(settings: ScoringSettings, registry: Registry, bus: Bus, store: Store, clock: Clock) -> _InForce:
    retry_seconds = settings.headrace_scoring_model_retry_seconds
    deployment = Deployment(bus, loading(registry), clock, model_name=MODEL_NAME, retry_seconds=retry_seconds)
    return _InForce(deployment, PolicyInForce(bus, PAYMENTS), ListsInForce(bus, store, clock))


def _journal(settings: ScoringSettings) -> Journal:
    folder = settings.headrace_home / "journal" / settings.headrace_instance
    return Journal(folder, is_synced=settings.headrace_scoring_journal_fsync)


def _other_routes(api: FastAPI, settings: ScoringSettings, in_force: _InForce, bus: Bus, clock: Clock) -> JobRunner:
    runner = JobRunner(
        settings.headrace_home,
        clock,
        JobLimits(
            settings.headrace_scoring_jobs_running_max,
            settings.headrace_scoring_jobs_waiting_max,
            timedelta(hours=settings.headrace_scoring_job_kept_hours),
        ),
        instance=settings.headrace_instance,
        tracking_uri=settings.mlflow_tracking_uri,
    )
    deciding = InForce(
        lambda: in_force.deployment.roles,
        in_force.policy.current,
        lambda: entries_on(bus, clock.now()),
        settings.headrace_scoring_fallback,
    )
    inference_routes(api, deciding.roles, bytes_max=settings.headrace_scoring_inference_bytes_max)
    job_routes(api, runner, deciding, bytes_max=settings.headrace_scoring_job_bytes_max)
    return runner


def _limits(settings: ScoringSettings) -> Limits:
    return Limits(
        state_seconds=settings.headrace_scoring_state_seconds_max,
        open_payments=settings.headrace_scoring_outstanding_max,
        journal_bytes=settings.headrace_scoring_journal_bytes_max,
    )


def _bounds(settings: ScoringSettings, clock: Clock) -> Bounds:
    return Bounds(
        future=FutureBound(clock, settings.future_max),
        body_bytes_max=settings.headrace_scoring_body_bytes_max,
        batch_bytes_max=settings.headrace_scoring_batch_bytes_max,
        batch_payments_max=settings.headrace_scoring_batch_payments_max,
    )


def _probing(settings: ScoringSettings, clock: Clock) -> ProbingBudget:
    return ProbingBudget(
        clock,
        queries_max=settings.headrace_scoring_probing_queries_max,
        window_seconds=settings.headrace_scoring_probing_window_seconds,
        delay_seconds_max=settings.headrace_scoring_probing_delay_seconds_max,
    )
