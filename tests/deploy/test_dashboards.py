"""The dashboards: written from the code, readable by Grafana, understood by a person, and about what there is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.generated import FOLDER, files
from deploy.grafana.limits import alert_limit
from deploy.grafana.panels import COLUMNS
from shared.runtime import metrics
from tests.architecture.source import ROOT
from tests.deploy.expressions import assert_known

register_default_plugins()

RULES = "\n".join(path.read_text() for path in sorted((ROOT / "deploy/prometheus/rules").glob("*.yml")))
FILES = dict(files())
BOARDS: list[dict[str, Any]] = [json.loads(text) for text in FILES.values()]
PANELS = [(board["title"], panel) for board in BOARDS for panel in board["panels"] if panel["type"] != "row"]
EXPRESSIONS = [
    *(target["expr"] for _, panel in PANELS for target in panel["targets"]),
    *(event["expr"] for board in BOARDS for event in board["annotations"]["list"]),
]
named = pytest.mark.parametrize(
    "panel", [pytest.param(panel, id=f"{board}: {panel['title']}") for board, panel in PANELS]
)


def test_every_file_is_as_the_code_writes_it() -> None:
    assert sorted(FOLDER.glob("*.json")) == sorted(FILES)
    assert [path.name for path, text in FILES.items() if path.read_text() != text] == [], "run `make generate`"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_grafana_reads_all_of_it(board: dict[str, Any]) -> None:
    """Decoding drops what Grafana's schema does not have, so nothing may be missing from what is encoded again."""
    assert json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder)) == board


def test_dashboards_are_told_apart_and_found_from_each_other() -> None:
    assert len({board["uid"] for board in BOARDS}) == len(BOARDS) == 6
    for board in BOARDS:
        (link,) = board["links"]
        assert all(set(link["tags"]) <= set(other["tags"]) for other in BOARDS)
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@named
def test_a_person_understands_a_panel(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_panels_fill_the_width_and_cover_none(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    rows = {y for _, y in taken}
    assert all({x for x, y in taken if y == row} == set(range(COLUMNS)) for row in rows)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_what_some_service_serves(expression: str) -> None:
    assert_known(expression)


def test_every_metric_is_on_a_dashboard() -> None:
    asked = set(re.findall(r"headrace_\w+", " ".join(EXPRESSIONS)))
    shown = {metric.name for metric in metrics.described() if any(name.startswith(metric.name) for name in asked)}
    assert {metric.name for metric in metrics.described()} - shown == set()


def test_replicas_are_summed_up() -> None:
    """No counter or histogram is shown process by process, unless asked for by instance."""
    bare = [
        each for each in EXPRESSIONS if re.search(r"(?<!\()(rate|increase)\(", each) and not re.search(r"sum|max", each)
    ]
    assert bare == []


def test_a_limit_is_the_alert_rule_s() -> None:
    graphs = {panel["title"]: panel["fieldConfig"]["defaults"] for _, panel in PANELS if panel["type"] == "timeseries"}
    steps = {title: defaults["thresholds"]["steps"] for title, defaults in graphs.items()}
    (rule,) = re.findall(r"sum by \(service, loop\) \(headrace_loop_lag_records\) > (\d+)", RULES)
    assert steps["Records waiting"][1]["value"] == float(rule)
    (bucket,) = re.findall(r'headrace_decision_seconds_bucket{path="stream", le="([\d.]+)"}', RULES)
    assert steps["Payment to decision, stream"][1]["value"] == float(bucket)
    with pytest.raises(ValueError, match="HeadraceNothing"):
        alert_limit("HeadraceNothing")


def test_none_is_no_alarm_where_one_is() -> None:
    """Grafana colours from a number on; a rule that speaks of more than 0 is quiet at 0."""
    assert 0 < alert_limit("HeadraceDeadLetters").value < 1


def test_grafana_is_told_where_everything_is() -> None:
    provisioning = ROOT / "deploy/grafana/provisioning"
    (provider,) = _yaml(provisioning / "dashboards/headrace.yaml")["providers"]
    (source,) = _yaml(provisioning / "datasources/prometheus.yaml")["datasources"]
    grafana = _yaml(ROOT / "docker-compose.yml")["services"]["grafana"]
    folder = provider["options"]["path"]
    assert f"./deploy/grafana/dashboards:{folder}:ro" in grafana["volumes"]
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{folder}/overview.json"
    asked = {target["datasource"]["uid"] for _, panel in PANELS for target in panel["targets"]}
    asked |= {variable["datasource"]["uid"] for board in BOARDS for variable in board["templating"].get("list", [])}
    assert asked == {source["uid"]}


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())
