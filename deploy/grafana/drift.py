"""What drift sees, and what it may ask for."""

from grafana_foundation_sdk.models import units

from deploy.grafana.boards import OF_MODEL
from deploy.grafana.limits import Limit, alert_limit
from deploy.grafana.panels import Row, Text, graph, number
from deploy.grafana.queries import DAY, Query, evidence_of_drift, highest, in_window


def drift_evidence() -> Row:
    """Return what drift sees."""
    evidence = Text(
        "Evidence of drift",
        "Of each family of watches, over what raises an alarm: 100 % is one; more than 200 % is cut off.",
        units.PercentUnit,
    )
    statistics = Text(
        "Signals", "Latest value of each: distances of distributions, recall, precision, click-through.", units.Short
    )
    alarms = Text("Alarms, last 24 hours", "By signal.", units.Short)
    return Row(
        "Drift",
        [
            graph(
                evidence,
                [
                    Query(
                        evidence_of_drift(by=["model", "family"], where=OF_MODEL),
                        "{{model}} {{family}}",
                    )
                ],
                limits=[Limit(1, "red")],
            ),
            graph(
                statistics,
                [
                    Query(
                        highest("headrace_drift_statistic", by=["model", "signal"], where=OF_MODEL),
                        "{{model}} {{signal}}",
                    )
                ],
            ),
            graph(
                alarms,
                [
                    Query(
                        in_window("headrace_drift_alarms_total", DAY, by=["model", "signal"], where=OF_MODEL),
                        "{{model}} {{signal}}",
                    )
                ],
            ),
        ],
    )


def drift_budget() -> Row:
    """Return what drift may ask for, and what it cannot see."""
    left = Text(
        "Needless retrainings left",
        "Of the quarter's budget, in event time; below 0 drift asks for more than it should.",
        units.Short,
    )
    ended = Text("Retrainings that drift asked for, last 24 hours", "By how they ended.", units.Short)
    blind = Text("Detectors taken out, last hour", "They raised an exception; the others watch on.", units.Short)
    sampled = Text("Payments held against labels", "Share of all; below 1 there is no room for all.", units.PercentUnit)
    return Row(
        "Budget of false alarms",
        [
            number(
                left,
                [Query(_retrainings_left(), "{{model}}")],
                limits=[Limit(0, "orange", is_lowest=True)],
                width=6,
            ),
            number(
                ended,
                [
                    Query(
                        in_window("headrace_drift_retrainings_total", DAY, by=["model", "outcome"], where=OF_MODEL),
                        "{{model}} {{outcome}}",
                    )
                ],
                width=6,
            ),
            number(
                blind,
                [Query(in_window("headrace_drift_detector_failures_total", "1h", by=["family"]), "{{family}}")],
                limits=[alert_limit("HeadraceDriftBlind")],
                width=6,
            ),
            number(
                sampled,
                [Query("min(headrace_drift_sampled_share)", "sampled")],
                limits=[Limit(1, "orange", is_lowest=True)],
                width=6,
            ),
        ],
    )


def _retrainings_left() -> str:
    budget, needless = (
        highest(f"headrace_drift_{retrainings}_retrainings_quarter", by=["model"], where=OF_MODEL)
        for retrainings in ("budget", "needless")
    )
    return f"{budget} - {needless}"
