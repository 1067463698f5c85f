"""Metrics of traces."""

from prometheus_client import Counter

from shared.runtime.metrics.exposition import REGISTRY

SPANS = Counter(
    "headrace_spans_total",
    "Spans that ended: exported; queue_full (as many wait as may) and not_taken (by the collector) are lost.",
    ["outcome"],
    registry=REGISTRY,
)
