"""Metrics of recommendations."""

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.metrics.exposition import LATENCY_SECONDS, REGISTRY

RECOMMENDATIONS = Counter(
    "headrace_recommendations_total",
    "Questions for items answered, by surface, by what was missing, and by audience: known (has a history), new, "
    "anyone (no shopper was named, or none matters).",
    ["surface", "degraded", "audience"],
    registry=REGISTRY,
)
RECOMMENDATION_SECONDS = Histogram(
    "headrace_recommendation_seconds",
    "From a question for items read to its answer.",
    ["surface"],
    buckets=LATENCY_SECONDS,
    registry=REGISTRY,
)
CLICK_THROUGH_RATIO = Gauge(
    "headrace_recommendation_click_through_ratio",
    "Share of a version's latest lists that had a click.",
    ["model"],
    registry=REGISTRY,
)
COVERAGE_RATIO = Gauge(
    "headrace_recommendation_coverage_ratio",
    "Different items in a version's latest lists, against as many of its first ones: 1 is as much of the catalogue.",
    ["model"],
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
CATALOGUE_ITEMS = Gauge("headrace_catalogue_items", "Items that the shop offers.", registry=REGISTRY)
UNREADABLE_PROFILES = Counter(
    "headrace_unreadable_profiles_total",
    "Times the store held something else where what is known of a shopper should stand.",
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
