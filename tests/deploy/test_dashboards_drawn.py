"""Pictures of dashboards: of panels that there are, small enough for a page, and drawn whatever there is to show."""

from pathlib import Path

import numpy as np
import pytest
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.drawing import Drawn, draw
from deploy.grafana.pictures import SHOWN
from deploy.grafana.series import POINTS, Series, Span, queries_of

BYTES_MAX = 150_000
SPAN = Span(1_000_000.0, 1_000_600.0)


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_is_drawn_from_what_its_panels_show(name: str, tmp_path: Path) -> None:
    made, titles = SHOWN[name]
    panels = {str(panel.title): panel for panel in made().panels or [] if isinstance(panel, Panel)}
    assert set(titles) <= panels.keys()
    pictures = {}
    for shown in ("something", "nothing"):
        path = tmp_path / f"{shown}.png"
        drawn = [Drawn(panels[title], lines(panels[title]) if shown == "something" else []) for title in titles]
        draw("A dashboard", drawn, SPAN, path)
        pictures[shown] = path.read_bytes()
    assert pictures["something"] != pictures["nothing"]
    assert all(picture.startswith(b"\x89PNG") and len(picture) < BYTES_MAX for picture in pictures.values())


def lines(panel: Panel) -> list[Series]:
    """Return three lines, with a hole in one; of a heatmap, the buckets of a histogram."""
    times = np.linspace(SPAN.start, SPAN.end, POINTS)
    legends = ("0.1", "0.5", "+Inf") if panel.type_val == "heatmap" else ("approve", "review", "decline")
    assert queries_of(panel)
    series = [Series(legend, times, np.sin(times / 60) + place + 1) for place, legend in enumerate(legends)]
    series[1].values[10:20] = np.nan
    return series


def test_minutes_are_counted_back_from_the_end() -> None:
    assert SPAN.minutes(np.array([SPAN.start, SPAN.end])).tolist() == [-10, 0]
