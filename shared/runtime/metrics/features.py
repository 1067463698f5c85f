"""Metrics of the state and the vectors made from it."""

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.metrics.exposition import REGISTRY

DUPLICATES = Counter(
    "headrace_duplicates_total",
    "Events that had been applied before and changed nothing.",
    ["topic"],
    registry=REGISTRY,
)
LATE_SECONDS = Histogram(
    "headrace_late_seconds",
    "Payments older than the newest one of their card, merchant, device or user: by how much.",
    ["topic"],
    buckets=(0.001, 0.1, 1, 10, 60, 600, 3_600, 6 * 3_600, 86_400, 7 * 86_400),
    registry=REGISTRY,
)
OUTDATED_VECTORS = Counter(
    "headrace_outdated_vectors_total",
    "Payments already answered whose vectors a late one would have changed, had it come in time.",
    registry=REGISTRY,
)
UNCOUNTED_EVENTS = Counter(
    "headrace_uncounted_events_total",
    "Payments too late for a busy entity: they count in their own vector and in no later one.",
    ["topic"],
    registry=REGISTRY,
)
COMPACTIONS = Counter(
    "headrace_compactions_total", "Entity states rewritten without what no window reaches.", registry=REGISTRY
)
HISTORIES_FOLDED = Counter(
    "headrace_histories_folded_total",
    "Shoppers' histories rewritten without copies, without what must be forgotten, or without the oldest of many.",
    registry=REGISTRY,
)
STATE_COMPLETE = Gauge(
    "headrace_state_complete",
    "1 while the state reaches as far back as the features look; 0 while it must be rebuilt.",
    ["service"],
    registry=REGISTRY,
)
STATE_AGE_SECONDS = Gauge(
    "headrace_state_age_seconds",
    "How far the state is behind the log, by its slowest partition.",
    ["service"],
    registry=REGISTRY,
)
UNMATCHED_LABELS = Counter(
    "headrace_unmatched_labels_total",
    "Labels that came before, or without, the payment or decision they speak of.",
    ["service"],
    registry=REGISTRY,
)
ARCHIVED_ROWS = Counter("headrace_archived_rows_total", "Rows written to the archive.", ["topic"], registry=REGISTRY)
PARITY_CHECKED = Counter(
    "headrace_parity_checked_total", "Served vectors that were computed again from the archive.", registry=REGISTRY
)
PARITY_MISMATCHES = Counter(
    "headrace_parity_mismatches_total",
    "Values of these vectors that came out otherwise than they were served.",
    ["feature"],
    registry=REGISTRY,
)
