"""What shoppers are shown, how fast, and what they make of it."""

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards import board
from deploy.grafana.limits import alert_limit
from deploy.grafana.panels import Row, Text, graph, number
from deploy.grafana.queries import Query, highest, in_window, per_second, quantile, ratio, total

UID = "headrace-recommendations"
_ASKED = 'surface="user"'


def recommendations() -> Dashboard:
    """Return the dashboard of lists, clicks, coverage and what went wrong."""
    rows = [_lists(), _answers(), _lost()]
    return board(UID, "Headrace: Recommendations", "What shoppers are shown, and what they make of it.", rows)


def _lists() -> Row:
    clicks = Text("Click-through", "Share of lists that were clicked.", units.PercentUnit)
    coverage = Text(
        "Coverage",
        "How many different items are shown, against what a version's first lists showed.",
        units.PercentUnit,
    )
    cold = Text("New shoppers", "Share of questions by shoppers of whom nothing was known.", units.PercentUnit)
    explored = Text(
        "Explored lists", "With an explored place, and clicked there, as the bandit remembers them.", units.Short
    )
    items = Text("Items on offer", "In the catalogue that scoring has.", units.Short)
    return Row(
        "Shoppers",
        [
            graph(clicks, [Query(highest("headrace_recommendation_click_through_ratio"), "clicked")]),
            graph(coverage, [Query(highest("headrace_recommendation_coverage_ratio"), "shown")]),
            graph(
                cold,
                [
                    Query(
                        ratio(
                            per_second("headrace_recommendations_total", where='audience="new"'),
                            per_second("headrace_recommendations_total"),
                        ),
                        "new",
                    )
                ],
            ),
            number(explored, [Query(total("headrace_explored_lists", by=["outcome"]), "{{outcome}}")], width=12),
            number(items, [Query(highest("headrace_catalogue_items"), "items")], width=12),
        ],
    )


def _answers() -> Row:
    asked = Text("Questions", "By surface.", units.RequestsPerSecond)
    seconds = Text("Time to answer", "p99 by surface.", units.Seconds)
    lacking = Text("Degraded answers", "By what they lacked.", units.RequestsPerSecond)
    unknown = Text(
        "Served as unknown", "Share of shoppers' questions whose history Redis did not give in time.", units.PercentUnit
    )
    return Row(
        "Answers",
        [
            graph(asked, [Query(per_second("headrace_recommendations_total", by=["surface"]), "{{surface}}")], width=6),
            graph(
                seconds,
                [Query(quantile(0.99, "headrace_recommendation_seconds", by=["surface"]), "{{surface}}")],
                width=6,
            ),
            graph(
                lacking,
                [
                    Query(
                        per_second("headrace_recommendations_total", by=["degraded"], where='degraded!=""'),
                        "{{degraded}}",
                    )
                ],
                width=6,
            ),
            graph(
                unknown,
                [
                    Query(
                        ratio(
                            per_second("headrace_history_misses_total"),
                            per_second("headrace_recommendations_total", where=_ASKED),
                        ),
                        "unknown",
                    )
                ],
                limits=[alert_limit("HeadraceShoppersUnknown")],
                width=6,
            ),
        ],
    )


def _lost() -> Row:
    lost = Text(
        "Lists without a record, last hour",
        "Shown, and Kafka did not take it: clicks on them teach nothing.",
        units.Short,
    )
    unwatched = Text("Lists not followed, last hour", "Drift had no room for more that wait for clicks.", units.Short)
    unjudged = Text(
        "Shoppers not judged, last hour", "Their clicks counted in full, since Redis was away.", units.Short
    )
    unreadable = Text("Unreadable profiles, last hour", "Redis held something else in a profile's place.", units.Short)
    folded = Text("Histories folded", "Rewritten without copies and what must be forgotten.", units.OpsPerSecond)
    compacted = Text("States compacted", "Rewritten without what no window reaches.", units.OpsPerSecond)
    return Row(
        "What went wrong, and upkeep",
        [
            number(
                lost,
                [Query(in_window("headrace_impressions_lost_total", "1h"), "lost")],
                limits=[alert_limit("HeadraceImpressionsLost")],
            ),
            number(unwatched, [Query(in_window("headrace_unwatched_impressions_total", "1h"), "unwatched")]),
            number(unjudged, [Query(in_window("headrace_unjudged_shoppers_total", "1h"), "unjudged")]),
            number(unreadable, [Query(in_window("headrace_unreadable_profiles_total", "1h"), "unreadable")]),
            number(folded, [Query(per_second("headrace_histories_folded_total"), "folded")]),
            number(compacted, [Query(per_second("headrace_compactions_total"), "compacted")]),
        ],
    )
