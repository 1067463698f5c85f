"""Metrics of the process itself."""

from prometheus_client import Gauge, ProcessCollector

from shared.runtime.metrics.exposition import REGISTRY

BUILD_INFO = Gauge(
    "headrace_build_info",
    "1: which service, of which version, made from which commit.",
    ["service", "version", "commit"],
    registry=REGISTRY,
)

ProcessCollector(registry=REGISTRY)
