"""The registry of metrics, and Prometheus' text format both ways."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry()
LATENCY_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Buckets of what should take milliseconds."""


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)


def parse_exposition(text: str) -> list[Sample]:
    """Return every sample of metrics in Prometheus' text format, as another process exposed them."""
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
