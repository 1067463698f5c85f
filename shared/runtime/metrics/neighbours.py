"""Metrics of the neighbours: Redis and Kafka, as this process sees them."""

from prometheus_client import Counter, Histogram

from shared.runtime.metrics.exposition import LATENCY_SECONDS, REGISTRY

REDIS_CALL_SECONDS = Histogram(
    "headrace_redis_call_seconds",
    "From a batch sent to Redis to all of its replies, or to giving up.",
    buckets=LATENCY_SECONDS,
    registry=REGISTRY,
)
REDIS_ERRORS = Counter(
    "headrace_redis_errors_total",
    "Calls to Redis that failed. slow: no answer in time; away: no connection; refused: it takes no writes for now; "
    "wrong: whatever else it said.",
    ["kind"],
    registry=REGISTRY,
)
KAFKA_ERRORS = Counter(
    "headrace_kafka_errors_total", "What went wrong between this process and Kafka.", ["kind"], registry=REGISTRY
)
