"""One dashboard from rows of panels: its frame, its variables, its links to the others."""

from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.models import dashboard

from deploy.grafana.panels import SOURCE, Row
from deploy.grafana.queries import RATE_INTERVAL

TAG = "headrace"


class Variable(NamedTuple):
    """A choice at the top of a dashboard, among the values of a metric's label."""

    name: str
    label: str
    metric: str


INSTANCE = Variable("instance", "Instance", 'up{job="headrace"}')
MODEL = Variable("model", "Model", "headrace_model_version")
OF_INSTANCE = 'instance=~"$instance"'
OF_MODEL = 'model=~"$model"'
"""Selects what was chosen."""


def board(
    uid: str, title: str, description: str, rows: Sequence[Row], variables: Sequence[Variable] = ()
) -> dashboard.Dashboard:
    """Return the dashboard; `uid` is its address, and stays."""
    frame = (
        builder.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(_links_to_the_others())
    )
    for variable in variables:
        frame.with_variable(_choice(variable))
    for event in _events():
        frame.annotation(event)
    for row in rows:
        frame.with_row(builder.Row(row.title))
        for panel in row.panels:
            frame.with_panel(panel)
    return _numbered(frame.build())


def _links_to_the_others() -> builder.DashboardLink:
    link = builder.DashboardLink("Headrace").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(False).keep_time(True).include_vars(True)


def _choice(variable: Variable) -> builder.QueryVariable:
    query = f"label_values({variable.metric}, {variable.name})"
    choice = builder.QueryVariable(variable.name).label(variable.label).query(query).datasource(SOURCE)
    choice.include_all(True).all_value(".+").multi(True).refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return choice.current(dashboard.VariableOption(selected=True, text="All", value="$__all"))


def _events() -> list[builder.AnnotationQuery]:
    """Return what is marked on every graph, since it explains many a bend."""
    events = {
        "Another model decides": ("blue", f"sum by (model) (changes(headrace_model_version[{RATE_INTERVAL}])) > 0"),
        "Drift alarm": (
            "orange",
            f"sum by (model, signal) (increase(headrace_drift_alarms_total[{RATE_INTERVAL}])) > 0",
        ),
    }
    return [
        builder.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour).expr(expression)
        for name, (colour, expression) in events.items()
    ]


def _numbered(made: dashboard.Dashboard) -> dashboard.Dashboard:
    for number, panel in enumerate(made.panels or [], start=1):
        panel.id_val = number
    return made
