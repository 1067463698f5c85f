"""The kinds of panels that the dashboards are made of; each has a title, a description and a unit."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import common as common_builder
from grafana_foundation_sdk.builders import dashboard as dashboard_builder
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.limits import Limit
from deploy.grafana.queries import Query

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="prometheus")
"""The data source that provisioning/datasources names."""
COLUMNS = 24
GREEN = "green"

_GRAPH_HEIGHT, _STAT_HEIGHT = 8, 4
_Panel = TypeVar("_Panel", timeseries.Panel, stat.Panel, heatmap.Panel)


class Text(NamedTuple):
    """What a person reads: the title, what exactly it shows, and the unit as Grafana names it."""

    title: str
    description: str
    unit: str


class Row(NamedTuple):
    """Panels below a heading."""

    title: str
    panels: Sequence[timeseries.Panel | stat.Panel | heatmap.Panel]


def graph(
    text: Text,
    queries: Sequence[Query],
    *,
    width: int = 8,
    limits: Sequence[Limit] = (),
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
) -> timeseries.Panel:
    """Return lines over time; `colours` by legend."""
    panel = _described(timeseries.Panel(), text, queries, width, _GRAPH_HEIGHT)
    panel.min(0).fill_opacity(60 if stacked else 8).line_width(1).show_points(common.VisibilityMode.NEVER)
    panel.thresholds(_steps(limits))
    panel.legend(common_builder.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).show_legend(True))
    panel.tooltip(common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    if stacked:
        panel.stacking(common_builder.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if limits:
        style = common_builder.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        panel.thresholds_style(style)
    for legend, colour in (colours or {}).items():
        fixed = dashboard.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
        panel.override_by_name(legend, [fixed])
    return panel


def number(
    text: Text,
    queries: Sequence[Query],
    *,
    width: int = 4,
    limits: Sequence[Limit] = (),
    names: Mapping[int, tuple[str, str]] | None = None,
) -> stat.Panel:
    """Return the newest value, large; `names` gives values a word and a colour."""
    panel = _described(stat.Panel(), text, queries, width, _STAT_HEIGHT)
    panel.thresholds(_steps(limits)).graph_mode(common.BigValueGraphMode.AREA)
    panel.color_mode(common.BigValueColorMode.VALUE).reduce_options(
        common_builder.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    )
    if names:
        panel.graph_mode(common.BigValueGraphMode.NONE)
        mapped = {str(value): dashboard.ValueMappingResult(word, colour) for value, (word, colour) in names.items()}
        panel.mappings([dashboard.ValueMap(mapped)])
    return panel


def word(text: Text, query: Query, *, width: int = 4) -> stat.Panel:
    """Return the names of the series that there are, whatever their value."""
    return number(text, [query], width=width).text_mode(common.BigValueTextMode.NAME)


def distribution(text: Text, expression: str, *, width: int = 12) -> heatmap.Panel:
    """Return a heatmap of a histogram's buckets over time."""
    query = _target(Query(expression, "{{le}}"), "A").format(PromQueryFormat.HEATMAP)
    panel = _described(heatmap.Panel(), text, [], width, _GRAPH_HEIGHT).with_target(query)
    colour = heatmap.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    linear = common_builder.ScaleDistributionConfig().type(common.ScaleDistribution.LINEAR)
    return panel.color(colour).y_axis(heatmap.YAxisConfig().unit(text.unit).min(0)).scale_distribution(linear)


def _described(panel: _Panel, text: Text, queries: Sequence[Query], width: int, height: int) -> _Panel:
    panel.title(text.title).description(text.description).unit(text.unit).datasource(SOURCE)
    panel.span(width).height(height)
    for position, query in enumerate(queries):
        panel.with_target(_target(query, chr(ord("A") + position)))
    return panel


def _target(query: Query, name: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).range()
    return target.ref_id(name).datasource(SOURCE)


def _steps(limits: Sequence[Limit]) -> dashboard_builder.ThresholdsConfig:
    above = sorted(limit for limit in limits if not limit.is_lowest)
    below = sorted(limit for limit in limits if limit.is_lowest)
    # A step colours from its value upwards; so what is below the lowest wears the first one's colour.
    colours = [limit.colour for limit in below] + [GREEN] + [limit.colour for limit in above]
    values = [None, *(limit.value for limit in (*below, *above))]
    steps = [dashboard.Threshold(value, colour) for value, colour in zip(values, colours, strict=True)]
    return dashboard_builder.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)
