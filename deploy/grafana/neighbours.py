"""Kafka and Redis, as the services see them."""

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards import board
from deploy.grafana.limits import alert_limit
from deploy.grafana.panels import Row, Text, graph
from deploy.grafana.queries import Query, highest, in_window, per_second, quantile, quantiles, total

UID = "headrace-neighbours"
_LOOPS = "{{service}} {{loop}}"


def kafka_and_redis() -> Dashboard:
    """Return the dashboard of lag, rejected records, and the calls of Kafka and Redis."""
    rows = [_lag(), _kafka(), _rejected(), _redis()]
    return board(UID, "Headrace: Kafka and Redis", "The two neighbours, as the services see them.", rows)


def _lag() -> Row:
    records = Text("Records waiting", "By loop, over all replicas.", units.Short)
    seconds = Text("Behind", "How long ago the newest record read was produced, while more wait.", units.Seconds)
    return Row(
        "Lag",
        [
            graph(
                records,
                [Query(total("headrace_loop_lag_records", by=["service", "loop"]), _LOOPS)],
                limits=[alert_limit("HeadraceLagGrowing")],
                width=12,
            ),
            graph(
                seconds,
                [Query(highest("headrace_loop_lag_seconds", by=["service", "loop"]), _LOOPS)],
                limits=[alert_limit("HeadraceLagSeconds")],
                width=12,
            ),
        ],
    )


def _kafka() -> Row:
    errors = Text("Kafka: failed calls", "By kind.", units.OpsPerSecond)
    commits = Text("Kafka: a commit", "p99 by loop.", units.Seconds)
    retries = Text("Batches tried again", "Since a neighbour was away.", units.OpsPerSecond)
    fenced = Text(
        "Batches given up", "Since the group was rebalanced; read again by who took over.", units.OpsPerSecond
    )
    return Row(
        "Kafka",
        [
            graph(
                errors,
                [Query(per_second("headrace_kafka_errors_total", by=["kind"]), "{{kind}}")],
                limits=[alert_limit("HeadraceKafkaErrors")],
                width=6,
            ),
            graph(
                commits,
                [Query(quantile(0.99, "headrace_loop_commit_seconds", by=["service", "loop"]), _LOOPS)],
                width=6,
            ),
            graph(
                retries,
                [
                    Query(
                        per_second("headrace_loop_retries_total", by=["service", "neighbour"]),
                        "{{service}} {{neighbour}}",
                    )
                ],
                limits=[alert_limit("HeadraceNeighbourAway")],
                width=6,
            ),
            graph(fenced, [Query(per_second("headrace_loop_fenced_total", by=["service"]), "{{service}}")], width=6),
        ],
    )


def _rejected() -> Row:
    letters = Text("Dead letters", "By topic and what was wrong with them.", units.RecordsPerSecond)
    hour = Text("Dead letters, last hour", "By topic; `headrace dlq list` shows them.", units.Short)
    return Row(
        "Rejected records",
        [
            graph(
                letters,
                [Query(per_second("headrace_dead_letters_total", by=["topic", "error"]), "{{topic}} {{error}}")],
                width=12,
            ),
            graph(
                hour,
                [Query(in_window("headrace_dead_letters_total", "1h", by=["topic"]), "{{topic}}")],
                limits=[alert_limit("HeadraceDeadLetters")],
                width=12,
            ),
        ],
    )


def _redis() -> Row:
    errors = Text("Redis: failed calls", "By kind.", units.OpsPerSecond)
    seconds = Text("Redis: a call", "Round trip, all services.", units.Seconds)
    calls = Text("Redis: calls", "By instance.", units.OpsPerSecond)
    return Row(
        "Redis",
        [
            graph(
                errors,
                [Query(per_second("headrace_redis_errors_total", by=["kind"]), "{{kind}}")],
                limits=[alert_limit("HeadraceRedisErrors")],
            ),
            graph(seconds, quantiles("headrace_redis_call_seconds")),
            graph(calls, [Query(per_second("headrace_redis_call_seconds_count", by=["instance"]), "{{instance}}")]),
        ],
    )
