"""Every metric of the platform, in one list; docs/metrics.md is generated from it."""

from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from shared.runtime.metrics.drift import *  # noqa: F403 - one list, in two files
from shared.runtime.metrics.exposition import REGISTRY as REGISTRY

_LATENCY_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

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
LOOP_BATCH_SECONDS = Histogram(
    "headrace_loop_batch_seconds",
    "From a batch read to the batch committed.",
    ["service", "loop"],
    buckets=_LATENCY_SECONDS,
    registry=REGISTRY,
)
INGESTED = Counter(
    "headrace_ingested_total", "Events taken in over REST, by outcome.", ["topic", "outcome"], registry=REGISTRY
)
INGEST_SECONDS = Histogram(
    "headrace_ingest_seconds",
    "From a request read to its events acknowledged by the log.",
    ["topic"],
    buckets=_LATENCY_SECONDS,
    registry=REGISTRY,
)
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
DECISIONS = Counter("headrace_decisions_total", "Decisions made.", ["decision", "degraded", "path"], registry=REGISTRY)
DECISION_SECONDS = Histogram(
    "headrace_decision_seconds",
    "From a payment produced to its decision made; over REST, the whole call.",
    ["path"],
    buckets=_LATENCY_SECONDS,
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
MODEL_VERSION = Gauge(
    "headrace_model_version", "Version of the model that decides; 0 when there is none.", ["model"], registry=REGISTRY
)
MODEL_IN_SERVICE = Gauge(
    "headrace_model_in_service",
    "1 for each version in service: champion, canary or challenger.",
    ["model", "role", "version"],
    registry=REGISTRY,
)
MODEL_WAITING_VERSION = Gauge(
    "headrace_model_waiting_version",
    "The lowest version that was given a role and is not in service; 0 when all are.",
    ["model", "role"],
    registry=REGISTRY,
)
MODEL_LOAD_FAILURES = Counter(
    "headrace_model_load_failures_total",
    "Announced models that could not be loaded, by scoring or by drift; each attempt counts.",
    ["model"],
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
CATALOGUE_ITEMS = Gauge("headrace_catalogue_items", "Items that the shop offers.", registry=REGISTRY)
UNREADABLE_PROFILES = Counter(
    "headrace_unreadable_profiles_total",
    "Times the store held something else where what is known of a shopper should stand.",
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
TRAININGS = Counter("headrace_trainings_total", "Training runs, by outcome.", ["model", "outcome"], registry=REGISTRY)
ROLLOUT_STEPS = Counter(
    "headrace_rollout_steps_total",
    "Steps that rollouts took by themselves, by what was announced.",
    ["model", "action"],
    registry=REGISTRY,
)
TRAINING_SECONDS = Histogram(
    "headrace_training_seconds",
    "Length of a training run.",
    ["model"],
    buckets=(1, 2, 5, 10, 20, 60, 300, 1800),
    registry=REGISTRY,
)
UNJUDGED_SHOPPERS = Counter(
    "headrace_unjudged_shoppers_total",
    "Shoppers whose interactions were counted in full, since the store could not tell how far they are distrusted.",
    registry=REGISTRY,
)
EXPLORED_LISTS = Gauge(
    "headrace_explored_lists",
    "Lists with an explored place that the bandit remembers, and those clicked there; discounted by day.",
    ["outcome"],
    registry=REGISTRY,
)

RECOMMENDATIONS = Counter(
    "headrace_recommendations_total",
    "Questions for items answered, by surface and by what was missing.",
    ["surface", "degraded"],
    registry=REGISTRY,
)
RECOMMENDATION_SECONDS = Histogram(
    "headrace_recommendation_seconds",
    "From a question for items read to its answer.",
    ["surface"],
    buckets=_LATENCY_SECONDS,
    registry=REGISTRY,
)
HISTORY_MISSES = Counter(
    "headrace_history_misses_total",
    "Shoppers served as unknown ones. slow: the store took too long; away: it did not answer; unreadable: what it had "
    "is no history.",
    ["reason"],
    registry=REGISTRY,
)
IMPRESSIONS_LOST = Counter(
    "headrace_impressions_lost_total",
    "Lists that were shown and of which the log has no record, since it did not answer.",
    registry=REGISTRY,
)

OPEN_ACCESS = Gauge(
    "headrace_open_access",
    "1 while everybody who reaches this process is answered, since there are no API keys.",
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


class Described(NamedTuple):
    """What a metric is, for the docs and for checks of dashboards and alerts."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def described() -> list[Described]:
    """Return every metric defined here, in order."""
    own = [value for value in globals().values() if isinstance(value, MetricWrapperBase)]
    families = [(metric, next(iter(metric.describe()))) for metric in own]
    return [
        Described(
            family.name + ("_total" if family.type == "counter" else ""),
            family.type,
            tuple(metric._labelnames),
            family.documentation,
        )
        for metric, family in families
    ]
