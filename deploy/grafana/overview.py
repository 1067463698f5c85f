"""Is it healthy, in one look."""

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards import board
from deploy.grafana.limits import Limit, alert_limit, objective_limit
from deploy.grafana.panels import Row, Text, graph, number
from deploy.grafana.queries import (
    Query,
    evidence_of_drift,
    highest,
    in_window,
    or_zero,
    per_second,
    quantiles,
    ratio,
    total,
)
from deploy.grafana.wording import DECISION_COLOURS

UID = "headrace-overview"
DEGRADED_DECISIONS = 'degraded!="",path="stream"'


def overview() -> Dashboard:
    """Return the dashboard that Grafana opens with."""
    return board(
        UID,
        "Headrace: Overview",
        "Is the platform healthy, in one look. The other dashboards say why.",
        [_health(), _work(), _outcomes()],
    )


def _health() -> Row:
    down = Text("Services down", "Services that Prometheus cannot reach.", units.Short)
    firing = Text("Alerts firing", "Alerts that fire now; docs/runbook.md says what to do about each.", units.Short)
    lag = Text(
        "Behind, slowest loop", "How long ago the newest record read was produced, while more wait.", units.Seconds
    )
    letters = Text(
        "Dead letters, last hour", "Records that could not be read, with their reasons on <topic>.dlq.", units.Short
    )
    degraded = Text(
        "Degraded decisions",
        "Share of decisions on the stream that lacked a model, features or state.",
        units.PercentUnit,
    )
    complete = Text("State in Redis", "Whether the state reaches as far back as the features look.", units.Short)
    return Row(
        "Health",
        [
            number(down, [Query(or_zero('count(up{job="headrace"} == 0)'), "down")], limits=[Limit(1, "red")]),
            number(firing, [_firing("page"), _firing("ticket")], limits=[Limit(1, "red")]),
            number(
                lag, [Query(highest("headrace_loop_lag_seconds"), "behind")], limits=[alert_limit("HeadraceLagSeconds")]
            ),
            number(
                letters,
                [Query(in_window("headrace_dead_letters_total", "1h"), "dead letters")],
                limits=[alert_limit("HeadraceDeadLetters")],
            ),
            number(degraded, [Query(_degraded(), "degraded")]),
            number(
                complete,
                [Query("min(headrace_state_complete)", "state")],
                names={0: ("rebuild it", "red"), 1: ("whole", "green")},
            ),
        ],
    )


def _firing(severity: str) -> Query:
    return Query(or_zero(f'count(ALERTS{{alertstate="firing",severity="{severity}"}})'), severity)


def _degraded() -> str:
    return ratio(
        per_second("headrace_decisions_total", where=DEGRADED_DECISIONS),
        per_second("headrace_decisions_total", where='path="stream"'),
    )


def _work() -> Row:
    throughput = Text(
        "Payments per second", "Through features, and decided, on the stream and over REST.", units.EventsPerSecond
    )
    latency = Text("Payment to decision", "From a payment produced to its decision made, on the stream.", units.Seconds)
    behind = Text("Records waiting", "By loop, over all replicas.", units.Short)
    return Row(
        "Work",
        [
            graph(
                throughput,
                [
                    Query(
                        per_second("headrace_records_consumed_total", where='service="features",topic="transactions"'),
                        "through features",
                    ),
                    Query(per_second("headrace_decisions_total", where='path="stream"'), "decided, stream"),
                    Query(per_second("headrace_decisions_total", where='path="rest"'), "decided, REST"),
                ],
            ),
            graph(
                latency,
                quantiles("headrace_decision_seconds", where='path="stream"'),
                limits=[objective_limit("stream_decisions_in_time")],
            ),
            graph(
                behind,
                [Query(total("headrace_loop_lag_records", by=["service", "loop"]), "{{service}} {{loop}}")],
                limits=[alert_limit("HeadraceLagGrowing")],
            ),
        ],
    )


def _outcomes() -> Row:
    decisions = Text("Decisions by outcome", "What becomes of payments.", units.EventsPerSecond)
    drift = Text(
        "Drift, share of an alarm",
        "Evidence over what raises an alarm: 100 % is one; more than 200 % is cut off.",
        units.PercentUnit,
    )
    shoppers = Text("Click-through", "Share of lists of recommendations that were clicked.", units.PercentUnit)
    failing = Text("Errors", "Calls of Redis and Kafka that failed, and answers with status 5xx.", units.OpsPerSecond)
    promises = Text(
        "Promises",
        "How many times too fast the allowance for late or missing answers is used up, in an hour.",
        units.Short,
    )
    return Row(
        "Outcomes",
        [
            graph(
                decisions,
                [Query(per_second("headrace_decisions_total", by=["decision"]), "{{decision}}")],
                stacked=True,
                colours=DECISION_COLOURS,
            ),
            graph(
                drift,
                [Query(evidence_of_drift(by=["model"]), "{{model}}")],
                limits=[Limit(1, "red")],
            ),
            graph(shoppers, [Query(highest("headrace_recommendation_click_through_ratio"), "clicked")]),
            graph(
                promises,
                [Query("headrace:objective_burn:rate1h", "{{objective}}")],
                width=12,
                limits=[alert_limit("HeadraceObjectiveBurnsFast")],
            ),
            graph(
                failing,
                [
                    Query(per_second("headrace_redis_errors_total"), "Redis"),
                    Query(per_second("headrace_kafka_errors_total"), "Kafka"),
                    Query(per_second("headrace_http_responses_total", where='status="5xx"'), "5xx"),
                ],
                width=12,
            ),
        ],
    )
