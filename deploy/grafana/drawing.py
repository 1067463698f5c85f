"""A dashboard's panels as a picture: titles, units, colours and limits as Grafana has them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Panel, Threshold
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, PercentFormatter, StrMethodFormatter

from deploy.grafana.series import Floats, Series, Span

_COLUMNS = 3
_PANEL_INCHES = (4.4, 2.5)
_PALETTE = ("#3274d9", "#e0752d", "#56a64b", "#a352cc", "#e02f44", "#806eb7", "#00988f", "#b8860b")
_NAMED = {"green": "#56a64b", "orange": "#ff9830", "red": "#e02f44", "blue": "#3274d9"}
_LEGENDS_MAX = 4
_FAR_FACTOR = 3.0
"""A limit that is so many times above everything would flatten the lines, and is left out."""


class Drawn(NamedTuple):
    """A panel and what it shows."""

    panel: Panel
    series: Sequence[Series]


def draw(title: str, panels: Sequence[Drawn], span: Span, path: Path) -> None:
    """Write the panels as a PNG, side by side below a title, over minutes before the end of `span`."""
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(_PANEL_INCHES[0] * _COLUMNS, _PANEL_INCHES[1] * rows + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    for position, drawn in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, _COLUMNS, position)
        drawing = _heatmap if drawn.panel.type_val == "heatmap" else _lines
        drawing(axes, drawn, span)
        _frame(axes, drawn.panel, span)
    figure.savefig(path, dpi=80)


def _lines(axes: Axes, drawn: Drawn, span: Span) -> None:
    shown = sorted(drawn.series, key=lambda each: -float(np.nanmax(each.values, initial=0)))
    colours = [_colours(drawn.panel).get(each.legend, _PALETTE[n % len(_PALETTE)]) for n, each in enumerate(shown)]
    if shown and _is_stacked(drawn.panel):
        axes.stackplot(*_layers(shown, span), labels=[each.legend for each in shown], colors=colours, alpha=0.8)
    else:
        for number, (each, colour) in enumerate(zip(shown, colours, strict=True)):
            label = each.legend if number < _LEGENDS_MAX else None
            axes.plot(span.minutes(each.times), each.values, color=colour, linewidth=1.2, label=label)
    top = axes.get_ylim()[1]
    for step in _limits(drawn.panel):
        if step.value is not None and 0 < step.value < top * _FAR_FACTOR:
            axes.axhline(step.value, color=_NAMED[step.color], linewidth=1, linestyle="--")
    # What is above the lines is for the legend.
    axes.set_ylim(0, axes.get_ylim()[1] * (1 + 0.14 * -(-min(len(shown), _LEGENDS_MAX) // 2)))
    if shown:
        axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=2, handlelength=1)


def _layers(shown: Sequence[Series], span: Span) -> tuple[Floats, list[Floats]]:
    """Return minutes, shape (points,), and every series at each of them, 0 where it has no value."""
    times = np.unique(np.concatenate([each.times for each in shown]))
    return span.minutes(times), [
        np.interp(times, each.times, np.nan_to_num(each.values), left=0, right=0) for each in shown
    ]


def _heatmap(axes: Axes, drawn: Drawn, span: Span) -> None:
    """Draw a histogram's buckets, which Prometheus counts from 0 up, each on its own."""
    bounds = sorted((each for each in drawn.series if each.legend != "+Inf"), key=lambda each: float(each.legend))
    if not bounds:
        return
    minutes, upto = _layers(bounds, span)
    counts = np.diff(np.array(upto), axis=0, prepend=0)
    ends = [*minutes, minutes[-1] + span.step_seconds / 60]
    edges = [0.0, *(float(each.legend) for each in bounds)]
    shown = np.ma.masked_less_equal(counts, 0.01)
    axes.pcolormesh(np.array(ends), np.array(edges), shown, cmap="Oranges", norm=LogNorm(), rasterized=True)


def _frame(axes: Axes, panel: Panel, span: Span) -> None:
    axes.set_title(str(panel.title), fontsize=9, loc="left")
    unit = panel.field_config.defaults.unit if panel.field_config else None
    axes.yaxis.set_major_formatter(_formatter(unit))
    axes.set_xlim((span.start - span.end) / 60, 0)
    axes.xaxis.set_major_formatter("{x:g} min")
    axes.tick_params(labelsize=7, length=2)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _formatter(unit: str | None) -> Formatter:
    if unit == units.PercentUnit:
        return PercentFormatter(1, decimals=None)
    if unit in {units.Seconds, units.BytesIEC}:
        return EngFormatter(unit=unit if unit == units.Seconds else "B", sep="")
    per_second = {units.EventsPerSecond, units.RecordsPerSecond, units.RequestsPerSecond, units.OpsPerSecond}
    return StrMethodFormatter("{x:,.4g}/s" if unit in per_second else "{x:,.4g}")


def _limits(panel: Panel) -> list[Threshold]:
    thresholds = panel.field_config.defaults.thresholds if panel.field_config else None
    return thresholds.steps if thresholds else []


def _is_stacked(panel: Panel) -> bool:
    custom = panel.field_config.defaults.custom if panel.field_config else None
    stacking = getattr(custom, "stacking", None)
    return stacking is not None and stacking.mode == "normal"


def _colours(panel: Panel) -> dict[str, str]:
    overrides = panel.field_config.overrides if panel.field_config else []
    return {
        str(each.matcher.options): _NAMED[value.value["fixedColor"]]
        for each in overrides
        for value in each.properties
        if isinstance(value.value, dict)
    }
