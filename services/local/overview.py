"""A running platform on one screen: what its processes, Kafka and drift say, brought together at one moment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from msgspec import Struct

from services.drift.shown.status import ModelStatus
from services.local.alerts import Alert
from services.local.inspection import Process, Scrape


class ProcessStatus(Struct, frozen=True, kw_only=True):
    """One process. since: when it started. lag_records, lag_seconds: what waits for its loops, of the slowest."""

    name: str
    address: str
    problem: str | None
    version: str | None = None
    since: datetime | None = None
    lag_records: int | None = None
    lag_seconds: float | None = None
    memory_bytes: float | None = None


class Flow(Struct, frozen=True, kw_only=True):
    """What passes, a second, over the last `seconds`; latencies of the decisions made in that time.

    p50_ms, p99_ms: None where none was made.
    """

    seconds: float
    payments: float
    decisions: float
    recommendations: float
    failed_calls: float
    p50_ms: float | None
    p99_ms: float | None


class ModelInService(Struct, frozen=True, kw_only=True, order=True):
    """A version with a role: champion, canary or challenger."""

    model: str
    role: str
    version: int
    trained_at: datetime | None = None


class Evidence(Struct, frozen=True, kw_only=True):
    """How far drift is towards an alarm about a model, by its family of watches that is furthest.

    state: of the loop that retrains it.
    """

    model: str
    family: str
    evidence_days: float
    threshold_days: float
    state: str | None


class Overview(Struct, frozen=True, kw_only=True):
    """Everything about a platform at one moment.

    drift: None where drift did not tell, for drift_problem. dead_letters: waiting, by topic; None where the log did not
    tell. open_access: processes that answer callers without a key. log_problem: what is wrong with the event log.
    """

    taken_at: datetime
    processes: list[ProcessStatus]
    flow: Flow
    models: list[ModelInService]
    evidence: list[Evidence]
    drift: list[ModelStatus] | None
    drift_problem: str | None
    alerts: list[Alert]
    alerts_from: str
    dead_letters: dict[str, int] | None
    open_access: list[str]
    journal_entries: int
    journal_seconds: float
    log_problem: str | None

    @property
    def is_ready(self) -> bool:
        """Whether every process can do its work, and the log answers."""
        return self.log_problem is None and all(process.problem is None for process in self.processes)


def process_statuses(processes: Iterable[Process]) -> list[ProcessStatus]:
    """Return one line about each process."""
    return [_process_status(process) for process in processes]


def flow_between(before: Mapping[str, Scrape], after: Mapping[str, Scrape], seconds: float) -> Flow:
    """Return what passed between two scrapes of the same processes, by their names; one that restarted counts anew."""

    def rate(metric: str, **labels: str) -> float:
        return sum(_increase(before.get(name, Scrape()), now, metric, labels) for name, now in after.items()) / seconds

    buckets: dict[float, float] = {}
    for name, now in after.items():
        for labels, _ in now.each("headrace_decision_seconds_bucket"):
            grown = _increase(before.get(name, Scrape()), now, "headrace_decision_seconds_bucket", labels)
            buckets[float(labels["le"])] = buckets.get(float(labels["le"]), 0.0) + grown
    return Flow(
        seconds=seconds,
        payments=rate("headrace_records_consumed_total", service="features", topic="transactions"),
        decisions=rate("headrace_decisions_total"),
        recommendations=rate("headrace_recommendations_total"),
        failed_calls=rate("headrace_http_responses_total", status="5xx"),
        p50_ms=_milliseconds(buckets, 0.5),
        p99_ms=_milliseconds(buckets, 0.99),
    )


def models_in_service(scrapes: Iterable[Scrape]) -> list[ModelInService]:
    """Return every version that has a role somewhere, each once."""
    found = set()
    for scrape in scrapes:
        trained = {
            (own["model"], own["role"]): at for own, at in scrape.each("headrace_model_trained_timestamp_seconds")
        }
        for labels, is_in_service in scrape.each("headrace_model_in_service"):
            if is_in_service:
                at = trained.get((labels["model"], labels["role"]))
                found.add(
                    ModelInService(
                        model=labels["model"],
                        role=labels["role"],
                        version=int(labels["version"]),
                        trained_at=datetime.fromtimestamp(at, UTC) if at else None,
                    )
                )
    return sorted(found, key=lambda one: (one.model, one.role != "champion", one.role, one.version))


def evidence_of(scrapes: Iterable[Scrape]) -> list[Evidence]:
    """Return where drift stands about each model."""
    return [each for scrape in scrapes for each in _evidence(scrape)]


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Return a quantile from cumulative counts by upper bound, evenly spread within a bucket; None without any.

    As Prometheus' histogram_quantile: beyond the last finite bound it is that bound.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    for (low, below), (high, upto) in pairwise([(0.0, 0.0), *((bound, buckets[bound]) for bound in bounds)]):
        if upto >= rank:
            return low if high == float("inf") else low + (high - low) * (rank - below) / (upto - below)
    return bounds[-1]


def _milliseconds(buckets: Mapping[float, float], share: float) -> float | None:
    seconds = quantile(buckets, share)
    return None if seconds is None else 1_000 * seconds


def _increase(before: Scrape, now: Scrape, metric: str, labels: Mapping[str, str]) -> float:
    grown = (now.total(metric, **labels) or 0.0) - (before.total(metric, **labels) or 0.0)
    return grown if grown >= 0 else now.total(metric, **labels) or 0.0


def _process_status(process: Process) -> ProcessStatus:
    scrape = process.scrape
    started = scrape.total("process_start_time_seconds")
    lags = [value for _, value in scrape.each("headrace_loop_lag_seconds")]
    waiting = scrape.total("headrace_loop_lag_records", service=process.service)
    return ProcessStatus(
        name=process.name,
        address=process.base_url,
        problem=process.problem,
        version=next((labels["version"] for labels, _ in scrape.each("headrace_build_info")), None),
        since=datetime.fromtimestamp(started, UTC) if started else None,
        lag_records=None if waiting is None else int(waiting),
        lag_seconds=max(lags, default=None),
        memory_bytes=scrape.total("process_resident_memory_bytes"),
    )


def _evidence(scrape: Scrape) -> Iterator[Evidence]:
    thresholds = {_watched(labels): value for labels, value in scrape.each("headrace_drift_threshold_days")}
    states = {labels["model"]: labels["state"] for labels, is_now in scrape.each("headrace_retraining_state") if is_now}
    furthest: dict[str, Evidence] = {}
    for labels, days in scrape.each("headrace_drift_evidence_days"):
        model, family = _watched(labels)
        found = Evidence(
            model=model,
            family=family,
            evidence_days=days,
            threshold_days=thresholds.get((model, family), float("inf")),
            state=states.get(model),
        )
        if model not in furthest or _towards(found) > _towards(furthest[model]):
            furthest[model] = found
    yield from furthest.values()


def _watched(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels["model"], labels["family"]


def _towards(evidence: Evidence) -> float:
    return evidence.evidence_days / evidence.threshold_days


def journal_of(scrapes: Sequence[Scrape]) -> tuple[int, float]:
    """Return how many answered payments wait for the log, and for how many seconds the oldest of them."""
    waiting = sum(scrape.total("headrace_journal_waiting_entries") or 0 for scrape in scrapes)
    return int(waiting), max(
        (scrape.total("headrace_journal_oldest_seconds") or 0.0 for scrape in scrapes), default=0.0
    )
