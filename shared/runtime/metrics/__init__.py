"""Every metric of the platform, in one list; docs/metrics.md is generated from it."""

from typing import NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from shared.runtime.metrics.decisions import *  # noqa: F403
from shared.runtime.metrics.drift import *  # noqa: F403
from shared.runtime.metrics.exposition import REGISTRY as REGISTRY
from shared.runtime.metrics.features import *  # noqa: F403
from shared.runtime.metrics.intake import *  # noqa: F403
from shared.runtime.metrics.loop import *  # noqa: F403
from shared.runtime.metrics.models import *  # noqa: F403
from shared.runtime.metrics.neighbours import *  # noqa: F403
from shared.runtime.metrics.process import *  # noqa: F403
from shared.runtime.metrics.recommendations import *  # noqa: F403
from shared.runtime.metrics.traces import *  # noqa: F403


class Described(NamedTuple):
    """What a metric is, for the docs and for checks of dashboards and alerts."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def described() -> list[Described]:
    """Return every metric defined here, in order."""
    return [described_one(value) for value in globals().values() if isinstance(value, MetricWrapperBase)]


def described_one(metric: MetricWrapperBase) -> Described:
    """Return what a metric is."""
    (family,) = metric.describe()
    name = family.name + ("_total" if family.type == "counter" else "")
    return Described(name, family.type, tuple(metric._labelnames), family.documentation)
