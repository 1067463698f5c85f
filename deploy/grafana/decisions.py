"""What is decided about payments, by what, and on how fresh features."""

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards import board
from deploy.grafana.limits import alert_limit, setting_limit
from deploy.grafana.panels import Row, Text, distribution, graph, number
from deploy.grafana.queries import (
    Query,
    buckets,
    highest,
    in_window,
    mean,
    per_second,
    quantile,
    quantiles,
    ratio,
    total,
)
from deploy.grafana.wording import DECISION_COLOURS
from shared.runtime.settings import ServiceSettings

UID = "headrace-decisions"
_STALE = setting_limit(ServiceSettings, "headrace_state_age_seconds_max")


def fraud_decisions() -> Dashboard:
    """Return the dashboard of decisions, scores, freshness and policies."""
    rows = [_decisions(), _scores(), _freshness(), _order(), _rest(), _policies()]
    return board(UID, "Headrace: Fraud decisions", "What is decided about payments, and on what grounds.", rows)


def _decisions() -> Row:
    outcome = Text(
        "Decisions by outcome", "What becomes of payments, on the stream and over REST.", units.EventsPerSecond
    )
    role = Text(
        "Decisions by role", "Which role's model decided: the champion, a canary, or none.", units.EventsPerSecond
    )
    flagged = Text("Reviewed or declined", "Share of all decisions.", units.PercentUnit)
    lacking = Text("Degraded decisions", "By what they lacked.", units.EventsPerSecond)
    every = per_second("headrace_decisions_total")
    return Row(
        "Decisions",
        [
            graph(
                outcome,
                [Query(per_second("headrace_decisions_total", by=["decision"]), "{{decision}}")],
                stacked=True,
                colours=DECISION_COLOURS,
                width=12,
            ),
            graph(
                role, [Query(per_second("headrace_decisions_total", by=["role"]), "{{role}}")], stacked=True, width=12
            ),
            graph(
                flagged,
                [
                    Query(
                        ratio(per_second("headrace_decisions_total", where=f'decision="{decision}"'), every), decision
                    )
                    for decision in ("review", "decline")
                ],
                colours=DECISION_COLOURS,
                width=12,
            ),
            graph(
                lacking,
                [Query(per_second("headrace_decisions_total", by=["degraded"], where='degraded!=""'), "{{degraded}}")],
                width=12,
            ),
        ],
    )


def _scores() -> Row:
    scores = Text("Scores of the champion", "How many payments scored how high.", units.PercentUnit)
    compared = Text(
        "Mean score by role", "The same payments, as the champion and those on trial see them.", units.PercentUnit
    )
    return Row(
        "Scores",
        [
            distribution(scores, buckets("headrace_scores", where='role="champion"')),
            graph(compared, [Query(mean("headrace_scores", by=["role"]), "{{role}}")], width=12),
        ],
    )


def _freshness() -> Row:
    age = Text(
        "Freshness of features",
        "How far the state behind a decision's features was behind the log, p99.",
        units.Seconds,
    )
    state = Text("State behind the log", "By its slowest partition.", units.Seconds)
    late = Text(
        "Late payments, by how much",
        "Older than the newest one of their card, merchant, device or user: p50, p95 and p99.",
        units.Seconds,
    )
    return Row(
        "Freshness",
        [
            graph(
                age,
                [Query(quantile(0.99, "headrace_vector_age_seconds", by=["path"]), "{{path}}")],
                limits=[_STALE],
                width=8,
            ),
            graph(
                state,
                [Query(highest("headrace_state_age_seconds", by=["service"]), "{{service}}")],
                limits=[_STALE, alert_limit("HeadraceStateStale")],
                width=8,
            ),
            graph(
                late,
                quantiles("headrace_late_seconds"),
                width=8,
            ),
        ],
    )


def _order() -> Row:
    odd = Text(
        "Late, duplicate, outdated",
        "Duplicates change nothing; late payments would have changed outdated vectors.",
        units.EventsPerSecond,
    )
    uncounted = Text(
        "Too late to count, last hour", "Payments that count in their own vector and in no later one.", units.Short
    )
    labels = Text(
        "Labels without a payment, last hour", "They came before, or without, what they speak of.", units.Short
    )
    return Row(
        "Order",
        [
            graph(
                odd,
                [
                    Query(per_second("headrace_late_seconds_count"), "late"),
                    Query(per_second("headrace_duplicates_total"), "duplicates"),
                    Query(per_second("headrace_outdated_vectors_total"), "outdated vectors"),
                ],
                width=8,
            ),
            graph(uncounted, [Query(in_window("headrace_uncounted_events_total", "1h"), "uncounted")], width=8),
            graph(
                labels,
                [Query(in_window("headrace_unmatched_labels_total", "1h", by=["service"]), "{{service}}")],
                width=8,
            ),
        ],
    )


def _rest() -> Row:
    misses = Text(
        "Answered without features",
        "Payments over REST for which Redis was too slow, away, or held no state.",
        units.RequestsPerSecond,
    )
    waiting = Text("Journal: waiting", "Payments answered over REST that Kafka does not have yet.", units.Short)
    oldest = Text("Journal: oldest", "How long ago the oldest of them was answered.", units.Seconds)
    failures = Text("Journal: failures, last hour", "Times the disk did not do what the journal asked.", units.Short)
    superseded = Text(
        "Answered twice, last hour",
        "While Redis was away a caller was told otherwise than the stream decided.",
        units.Short,
    )
    jobs = Text("Files scored, last hour", "By how that ended.", units.Short)
    return Row(
        "REST",
        [
            graph(misses, [Query(per_second("headrace_state_misses_total", by=["reason"]), "{{reason}}")]),
            graph(waiting, [Query(total("headrace_journal_waiting_entries", by=["instance"]), "{{instance}}")]),
            graph(
                oldest,
                [Query(highest("headrace_journal_oldest_seconds", by=["instance"]), "{{instance}}")],
                limits=[alert_limit("HeadraceJournalWaiting")],
            ),
            number(
                failures,
                [Query(in_window("headrace_journal_failures_total", "1h"), "failures")],
                limits=[alert_limit("HeadraceJournalFailing")],
                width=8,
            ),
            number(
                superseded,
                [Query(in_window("headrace_superseded_answers_total", "1h"), "superseded")],
                limits=[alert_limit("HeadraceAnswersSuperseded")],
                width=8,
            ),
            number(jobs, [Query(in_window("headrace_jobs_total", "1h", by=["state"]), "{{state}}")], width=8),
        ],
    )


def _policies() -> Row:
    version = Text("Policy in force", "Its version, by policy; 0 before the first is published.", units.Short)
    failures = Text(
        "Policies out of force, last hour", "Published, and left out since they cannot be used.", units.Short
    )
    rules = Text(
        "Rules that failed, last hour", "A rule that cannot be evaluated for a payment does not match it.", units.Short
    )
    return Row(
        "Policies",
        [
            number(version, [Query(highest("headrace_policy_version", by=["policy"]), "{{policy}}")], width=8),
            number(
                failures,
                [Query(in_window("headrace_policy_failures_total", "1h", by=["policy"]), "{{policy}}")],
                limits=[alert_limit("HeadracePolicyFailure")],
                width=8,
            ),
            number(
                rules,
                [Query(in_window("headrace_rule_errors_total", "1h", by=["rule"]), "{{rule}}")],
                limits=[alert_limit("HeadraceRuleErrors")],
                width=8,
            ),
        ],
    )
