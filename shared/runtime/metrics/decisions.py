"""Metrics of decisions, and what decides besides the model."""

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.metrics.exposition import LATENCY_SECONDS, REGISTRY

_SCORES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
_AGE_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800, 3_600)

DECISIONS = Counter(
    "headrace_decisions_total",
    "Decisions made, by the role of the model that was asked: champion, canary, or none.",
    ["decision", "degraded", "path", "role"],
    registry=REGISTRY,
)
SCORES = Histogram(
    "headrace_scores",
    "Scores of payments, by the role of the model: champion, canary, or challenger (which decides nothing).",
    ["role"],
    buckets=_SCORES,
    registry=REGISTRY,
)
VECTOR_AGE_SECONDS = Histogram(
    "headrace_vector_age_seconds",
    "How far the state behind a decision's features was behind the log.",
    ["path"],
    buckets=_AGE_SECONDS,
    registry=REGISTRY,
)
DECISION_SECONDS = Histogram(
    "headrace_decision_seconds",
    "From a payment produced to its decision made; over REST, the whole call.",
    ["path"],
    buckets=LATENCY_SECONDS,
    registry=REGISTRY,
)
JOBS = Counter("headrace_jobs_total", "Files scored, by how that ended.", ["state"], registry=REGISTRY)
STATE_MISSES = Counter(
    "headrace_state_misses_total",
    "Payments over REST answered without features. slow: the store took too long; away: it did not answer; unreadable: "
    "what it had is no state.",
    ["reason"],
    registry=REGISTRY,
)
JOURNAL_WAITING_ENTRIES = Gauge(
    "headrace_journal_waiting_entries", "Payments answered over REST that the log does not have yet.", registry=REGISTRY
)
JOURNAL_OLDEST_SECONDS = Gauge(
    "headrace_journal_oldest_seconds",
    "How long ago the oldest of them was answered; 0 when there is none.",
    registry=REGISTRY,
)
JOURNAL_FAILURES = Counter(
    "headrace_journal_failures_total", "Times the disk did not do what the journal asked.", registry=REGISTRY
)
SUPERSEDED_ANSWERS = Counter(
    "headrace_superseded_answers_total",
    "Decisions answered over REST while the store was away, after another answer to the same payment.",
    registry=REGISTRY,
)
POLICY_VERSION = Gauge(
    "headrace_policy_version",
    "Version of the policy that decides; 0 before the first is published.",
    ["policy"],
    registry=REGISTRY,
)
POLICY_FAILURES = Counter(
    "headrace_policy_failures_total",
    "Published policies that stayed out of force because they cannot be used.",
    ["policy"],
    registry=REGISTRY,
)
RULE_ERRORS = Counter(
    "headrace_rule_errors_total",
    "Rules that could not be evaluated for a payment, and so did not match.",
    ["rule"],
    registry=REGISTRY,
)
