"""Counters that stand at zero before anything happened: `increase` sees the first event, and panels have data."""

from collections.abc import Iterator
from itertools import product

from prometheus_client.metrics import MetricWrapperBase

from shared.contracts.topics import TOPICS, Topic
from shared.runtime import metrics
from shared.runtime.metrics.bounds import ERRORS, bound

_BY_SERVICE: dict[str, tuple[MetricWrapperBase, ...]] = {
    "scoring": (metrics.JOBS,),
    "training": (metrics.TRAININGS, metrics.ROLLOUT_STEPS),
    "drift": (
        metrics.DRIFT_RETRAININGS,
        metrics.DRIFT_PAYMENTS_LOST,
        metrics.DRIFT_DETECTOR_FAILURES,
        metrics.DRIFT_CHECKPOINT_FAILURES,
        metrics.MODEL_LOAD_FAILURES,
    ),
}
"""Those of which every value of every label may come."""
_MATCH_LABELS = ("features", "drift")


def begin_at_zero(service: str) -> None:
    """Give a service's counters their series, as far as their labels are known beforehand."""
    for metric in _BY_SERVICE.get(service, ()):
        name = metrics.described_one(metric).name
        for values in product(*(bound(name, label).values for label in metric._labelnames)):
            metric.labels(*values)
    for neighbour in bound("", "neighbour").values:
        metrics.LOOP_RETRIES.labels(service, neighbour)
    metrics.LOOP_FENCED.labels(service)
    if service in _MATCH_LABELS:
        metrics.UNMATCHED_LABELS.labels(service)
    for topic in TOPICS:
        if service in topic.written_by:
            _written(service, topic)
        if service in topic.read_by:
            _read(service, topic)


def _written(service: str, topic: Topic) -> None:
    metrics.RECORDS_PUBLISHED.labels(service, topic.name)
    for outcome in bound("headrace_ingested_total", "outcome").values if service == "ingest" else ():
        metrics.INGESTED.labels(topic.name, outcome)


def _read(service: str, topic: Topic) -> None:
    metrics.RECORDS_CONSUMED.labels(service, topic.name)
    for error in _errors(topic):
        metrics.DEAD_LETTERS.labels(service, topic.name, error)


def _errors(topic: Topic) -> Iterator[str]:
    """Yield why a record of a topic may be rejected."""
    for error in ERRORS:
        is_of_clients = error == "ahead_of_clock"
        is_of_requests = error == "unknown_model"
        if (not is_of_clients or "ingest" in topic.written_by) and (not is_of_requests or topic.name == "retraining"):
            yield error
