"""Metrics of the loop that every service reads its topics with."""

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.metrics.exposition import LATENCY_SECONDS, REGISTRY

RECORDS_CONSUMED = Counter(
    "headrace_records_consumed_total", "Records read and committed.", ["service", "topic"], registry=REGISTRY
)
RECORDS_PUBLISHED = Counter(
    "headrace_records_published_total", "Records written and committed.", ["service", "topic"], registry=REGISTRY
)
DEAD_LETTERS = Counter(
    "headrace_dead_letters_total",
    "Records rejected to a dead-letter topic.",
    ["service", "topic", "error"],
    registry=REGISTRY,
)
LOOP_RETRIES = Counter(
    "headrace_loop_retries_total",
    "Batches tried again because a neighbour was away.",
    ["service", "neighbour"],
    registry=REGISTRY,
)
LOOP_FENCED = Counter(
    "headrace_loop_fenced_total", "Batches given up because the group was rebalanced.", ["service"], registry=REGISTRY
)
LOOP_LAG_RECORDS = Gauge(
    "headrace_loop_lag_records",
    "Records waiting in the partitions this process owns.",
    ["service", "loop"],
    registry=REGISTRY,
)
LOOP_LAG_SECONDS = Gauge(
    "headrace_loop_lag_seconds",
    "How long ago the newest record read was produced, while more wait; else 0.",
    ["service", "loop"],
    registry=REGISTRY,
)
LOOP_COMMIT_SECONDS = Histogram(
    "headrace_loop_commit_seconds",
    "Time to commit a batch with its results, in one transaction.",
    ["service", "loop"],
    buckets=LATENCY_SECONDS,
    registry=REGISTRY,
)
LOOP_BATCH_SECONDS = Histogram(
    "headrace_loop_batch_seconds",
    "From a batch read to the batch committed.",
    ["service", "loop"],
    buckets=LATENCY_SECONDS,
    registry=REGISTRY,
)
