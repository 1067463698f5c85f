"""How many values each label can take: a label without a bound would grow until Prometheus falls over.

A closed set is written out; it is what the code emits, and a test holds both against each other.
"""

from typing import NamedTuple

from shared.contracts.topics import TOPICS
from shared.models.manifest import MODEL_NAME, RECOMMENDATION
from shared.runtime.metrics import Described

SERVICES = ("ingest", "features", "scoring", "training", "drift")
ERRORS = (
    "ahead_of_clock",
    "empty",
    "invalid",
    "missing_key",
    "not_json",
    "out_of_range",
    "unknown_model",
    "unknown_version",
    "wrong_key",
)
"""Why a record is rejected: the codes of BadRecordError."""
ROLES = ("champion", "canary", "challenger")


class Bound(NamedTuple):
    """What a label's values are.

    values: all of them, where they are a closed set. told: what they are where they are none, or for short.
    """

    values: tuple[str, ...] = ()
    told: str = ""


_NOT_READ = Bound(("slow", "away", "unreadable"))

BOUNDS: dict[str, Bound] = {
    "decision": Bound(("approve", "review", "decline")),
    "degraded": Bound(told="empty, or some of model, features, stale, incomplete, in this order, with commas between"),
    "headrace_recommendations_total.degraded": Bound(
        told="empty, or some of history, model, item, impressions, in this order, with commas between"
    ),
    "path": Bound(("stream", "rest")),
    "headrace_decisions_total.path": Bound(("stream", "rest", "batch")),
    "role": Bound(ROLES),
    "headrace_decisions_total.role": Bound(("champion", "canary", "none")),
    "headrace_jobs_total.state": Bound(("done", "failed", "cancelled", "interrupted")),
    "headrace_state_misses_total.reason": _NOT_READ,
    "headrace_history_misses_total.reason": _NOT_READ,
    "policy": Bound(("payments", RECOMMENDATION)),
    "rule": Bound(told="rules of the policy in force, 100 at most; when another takes over, they begin anew"),
    "model": Bound((MODEL_NAME, RECOMMENDATION)),
    "signal": Bound(told="features of the model in force, feed_ and a feature, and a dozen watches of the whole"),
    "family": Bound(("performance", "data", "together", "faults", "click_through", "coverage")),
    "headrace_drift_retrainings_total.outcome": Bound(("needed", "needless", "failed", "rolled_back")),
    "headrace_drift_payments_lost_total.reason": Bound(("unjoined", "misdated", "out_of_calendar", "unjudged")),
    "loop": Bound(told="loops of the service, three at most"),
    "headrace_drift_checkpoint_seconds.loop": Bound(("monitor", "recommendations")),
    "headrace_drift_checkpoint_failures_total.loop": Bound(("monitor", "recommendations")),
    "topic": Bound(tuple(topic.name for topic in TOPICS), "topics"),
    "service": Bound(SERVICES),
    "feature": Bound(told="features of the catalogue"),
    "headrace_ingested_total.outcome": Bound(("accepted", "rejected", "unavailable")),
    "status": Bound(("2xx", "3xx", "4xx", "5xx")),
    "headrace_refused_calls_total.reason": Bound(("unauthorized", "forbidden", "too_many")),
    "key": Bound(told="names in the file of keys, those taken out since the start among them; empty without a key"),
    "headrace_probing_total.kind": Bound(("similar", "repeated")),
    "error": Bound(ERRORS),
    "neighbour": Bound(("store", "kafka")),
    "version": Bound(told="versions that have a role now; the series of one that leaves it ends"),
    "headrace_build_info.version": Bound(told="one: the installed one"),
    "commit": Bound(told="one: the installed one, or unknown"),
    "gate": Bound(
        (
            "export",
            "latency",
            "calibration",
            "better_than_chance",
            "worst_segment",
            "coverage",
            "off_policy",
            "promotion",
        )
    ),
    "headrace_gates_total.outcome": Bound(("passed", "refused")),
    "headrace_retraining_state.state": Bound(("watching", "asked", "shadow", "canary", "watched", "cooling_down")),
    "headrace_trainings_total.outcome": Bound(
        ("promoted", "shadowed", "refused", "coalesced", "limited", "impossible", "failed")
    ),
    "action": Bound(("promoted", "shadowed", "canaried", "withdrawn", "rolled_back")),
    "headrace_redis_errors_total.kind": Bound(("slow", "away", "refused", "wrong")),
    "headrace_kafka_errors_total.kind": Bound(("away", "fenced", "unacknowledged")),
    "surface": Bound(("user", "session", "similar", "popular", "trending", "rank")),
    "audience": Bound(("known", "new", "anyone")),
    "headrace_explored_lists.outcome": Bound(("shown", "clicked")),
    "headrace_spans_total.outcome": Bound(("exported", "queue_full", "not_taken")),
}
"""By label, or by metric and label where a label means something else there."""


def bound(metric_name: str, label: str) -> Bound:
    """Return what bounds a label of a metric; raises KeyError where nothing does."""
    return BOUNDS.get(f"{metric_name}.{label}") or BOUNDS[label]


def bounded(metric: Described) -> str:
    """Return the labels of a metric with their bounds, for people."""
    bounds = ((label, bound(metric.name, label)) for label in metric.labels)
    return "; ".join(f"`{label}`: {told or ', '.join(values)}" for label, (values, told) in bounds)
