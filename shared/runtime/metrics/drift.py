"""Metrics of the drift monitor."""

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.metrics.exposition import REGISTRY

_CHECKPOINT_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

DRIFT_STATISTIC = Gauge(
    "headrace_drift_statistic", "Latest value of a drift signal.", ["model", "signal"], registry=REGISTRY
)
DRIFT_ALARMS = Counter("headrace_drift_alarms_total", "Drift alarms raised.", ["model", "signal"], registry=REGISTRY)
DRIFT_EVIDENCE_DAYS = Gauge(
    "headrace_drift_evidence_days",
    "Evidence of a family of watches: while all is well it takes so many days of event time on average to see as much.",
    ["model", "family"],
    registry=REGISTRY,
)
DRIFT_THRESHOLD_DAYS = Gauge(
    "headrace_drift_threshold_days",
    "Evidence at which a family of watches raises an alarm: its share of the budget.",
    ["model", "family"],
    registry=REGISTRY,
)
DRIFT_RETRAININGS = Counter(
    "headrace_drift_retrainings_total",
    "Retrainings that drift asked for, by how they ended: needed (promoted), needless (refused as not better), failed, "
    "rolled_back (needed before, then taken back).",
    ["model", "outcome"],
    registry=REGISTRY,
)
DRIFT_NEEDLESS_RETRAININGS = Gauge(
    "headrace_drift_needless_retrainings_quarter",
    "Needless retrainings in the last quarter of event time.",
    ["model"],
    registry=REGISTRY,
)
DRIFT_BUDGET_RETRAININGS = Gauge(
    "headrace_drift_budget_retrainings_quarter",
    "Needless retrainings a quarter that are acceptable, as set.",
    ["model"],
    registry=REGISTRY,
)
DRIFT_DETECTOR_FAILURES = Counter(
    "headrace_drift_detector_failures_total",
    "Detectors taken out because they raised an exception; the others watch on.",
    ["family"],
    registry=REGISTRY,
)
DRIFT_SAMPLED_SHARE = Gauge(
    "headrace_drift_sampled_share",
    "Share of payments that drift holds against their labels; below 1 there is no room for all.",
    registry=REGISTRY,
)
DRIFT_SAMPLED_SHARE.set(1)  # also where nothing is sampled
DRIFT_PAYMENTS_LOST = Counter(
    "headrace_drift_payments_lost_total",
    "Payments that drift did not judge: unjoined (vector or decision missing), misdated (ahead of all others), "
    "out_of_calendar (their day was over, or lies far ahead), unjudged (no label came for long).",
    ["reason"],
    registry=REGISTRY,
)
CONTRADICTED_LABELS = Counter(
    "headrace_contradicted_labels_total", "Labels that took back another of the same payment.", registry=REGISTRY
)
DRIFT_CHECKPOINT_SECONDS = Histogram(
    "headrace_drift_checkpoint_seconds",
    "Time to write what a loop of drift remembers to disk.",
    ["loop"],
    buckets=_CHECKPOINT_SECONDS,
    registry=REGISTRY,
)
DRIFT_CHECKPOINT_FAILURES = Counter(
    "headrace_drift_checkpoint_failures_total",
    "Checkpoints that could not be written; a crash then loses more than it should.",
    ["loop"],
    registry=REGISTRY,
)
UNWATCHED_IMPRESSIONS = Counter(
    "headrace_unwatched_impressions_total",
    "Lists of recommendations that drift did not follow, since as many as it remembers were waiting for clicks.",
    registry=REGISTRY,
)
