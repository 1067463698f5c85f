"""Metrics of what comes in over REST, and who is let in."""

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.metrics.exposition import LATENCY_SECONDS, REGISTRY

INGESTED = Counter(
    "headrace_ingested_total", "Events taken in over REST, by outcome.", ["topic", "outcome"], registry=REGISTRY
)
INGEST_SECONDS = Histogram(
    "headrace_ingest_seconds",
    "From a request read to its events acknowledged by the log.",
    ["topic"],
    buckets=LATENCY_SECONDS,
    registry=REGISTRY,
)
HTTP_RESPONSES = Counter(
    "headrace_http_responses_total",
    "Answers over HTTP by class of status, to probes and scrapes apart.",
    ["service", "status"],
    registry=REGISTRY,
)
OPEN_ACCESS = Gauge(
    "headrace_open_access",
    "1 while whoever reaches this process from another machine is answered, since there are no API keys.",
    registry=REGISTRY,
)
REFUSED_CALLS = Counter(
    "headrace_refused_calls_total",
    "Calls refused at the gate, by reason and by the key's name: unauthorized, forbidden, too_many.",
    ["reason", "key"],
    registry=REGISTRY,
)
PROBING = Counter(
    "headrace_probing_total",
    "Queries slowed since they were like too many before: similar, or repeated word for word.",
    ["key", "kind"],
    registry=REGISTRY,
)
PROBING_KEYS = Gauge(
    "headrace_probing_keys", "Keys that had a query slowed within the probing window.", registry=REGISTRY
)
