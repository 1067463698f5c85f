"""One screen about a platform: what is told of processes, traffic, models, drift and alerts is what they expose."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli.status import status
from services.local.addresses import SERVICES
from services.local.discovery import discover, process_urls, url_variable
from services.local.inspection import Scrape
from services.local.overview import evidence_of, flow_between, models_in_service, quantile

BEFORE = """
headrace_decisions_total{decision="approve",role="champion"} 100
headrace_decisions_total{decision="decline",role="champion"} 10
headrace_records_consumed_total{service="features",topic="transactions"} 90
headrace_records_consumed_total{service="features",topic="labels"} 5
headrace_http_responses_total{service="scoring",status="5xx"} 0
headrace_decision_seconds_bucket{path="stream",le="0.01"} 100
headrace_decision_seconds_bucket{path="stream",le="0.1"} 110
headrace_decision_seconds_bucket{path="stream",le="+Inf"} 110
"""
AFTER = """
headrace_decisions_total{decision="approve",role="champion"} 290
headrace_decisions_total{decision="decline",role="champion"} 20
headrace_records_consumed_total{service="features",topic="transactions"} 190
headrace_records_consumed_total{service="features",topic="labels"} 500
headrace_http_responses_total{service="scoring",status="5xx"} 4
headrace_decision_seconds_bucket{path="stream",le="0.01"} 200
headrace_decision_seconds_bucket{path="stream",le="0.1"} 310
headrace_decision_seconds_bucket{path="stream",le="+Inf"} 310
"""


def test_rates_and_latency_are_those_of_the_time_between() -> None:
    flow = flow_between({"scoring": Scrape(BEFORE)}, {"scoring": Scrape(AFTER)}, 2.0)
    assert (flow.decisions, flow.payments, flow.failed_calls) == (100, 50, 2)
    # Of 200 decisions 100 took up to 10 ms, the others up to 100.
    assert flow.p50_ms == pytest.approx(10)
    assert flow.p99_ms == pytest.approx(10 + 90 * 0.98)


def test_replicas_add_up_and_one_that_restarted_counts_anew() -> None:
    flow = flow_between({"a": Scrape(BEFORE), "b": Scrape(AFTER)}, {"a": Scrape(AFTER), "b": Scrape(BEFORE)}, 1.0)
    assert flow.decisions == 200 + 110


def test_where_nothing_passes_there_is_no_latency() -> None:
    flow = flow_between({"a": Scrape(AFTER)}, {"a": Scrape(AFTER)}, 1.0)
    assert (flow.decisions, flow.p50_ms, flow.p99_ms) == (0, None, None)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile({1.0: 0.0, float("inf"): 5.0}, 0.5) == 1.0
    assert quantile({}, 0.5) is None


def test_models_are_named_once_with_the_champion_first() -> None:
    scoring = Scrape("""
headrace_model_in_service{model="fraud",role="canary",version="4"} 1
headrace_model_in_service{model="fraud",role="champion",version="3"} 1
headrace_model_in_service{model="fraud",role="challenger",version="2"} 0
headrace_model_trained_timestamp_seconds{model="fraud",role="champion"} 1.7724e+09
""")
    found = models_in_service([scoring, scoring])
    assert [(one.role, one.version) for one in found] == [("champion", 3), ("canary", 4)]
    assert found[0].trained_at is not None
    assert found[1].trained_at is None


def test_evidence_is_that_of_the_family_nearest_to_an_alarm() -> None:
    drift = Scrape("""
headrace_drift_evidence_days{model="fraud",family="data"} 50
headrace_drift_evidence_days{model="fraud",family="performance"} 40
headrace_drift_threshold_days{model="fraud",family="data"} 500
headrace_drift_threshold_days{model="fraud",family="performance"} 80
headrace_retraining_state{model="fraud",state="watching"} 0
headrace_retraining_state{model="fraud",state="shadow"} 1
""")
    [found] = evidence_of([drift])
    assert (found.family, found.evidence_days, found.threshold_days, found.state) == ("performance", 40, 80, "shadow")


def test_replicas_may_be_given_by_one_variable(tmp_path: Path) -> None:
    given = {"HEADRACE_SCORING_URL": "http://a:1, https://b:2/"}
    urls = process_urls(tmp_path, given)
    assert urls == {
        "ingest": None,
        "features": None,
        "scoring": "http://a:1",
        "scoring-2": "https://b:2",
        "training": None,
        "drift": None,
    }
    assert discover(tmp_path, given).services == {"scoring": "http://a:1"}


@contextlib.contextmanager
def answering(answers: dict[str, str], *, status: int = 200) -> Iterator[str]:
    """Serve texts by path, readiness with `status`; a path that is not there is 404."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path)
            self.send_response(404 if found is None else status if self.path == "/health/ready" else 200)
            self.end_headers()
            self.wfile.write((found or "").encode())

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


READY = {
    "/health/ready": '{"status": "ready", "problems": {}}',
    "/v1/drift": '{"taken_at": "2026-03-02T12:00:00Z", "models": []}',
    "/metrics": 'headrace_build_info{service="x",version="1.2.3",commit="c"} 1\nprocess_resident_memory_bytes 2e8\n',
}


def run(home: Path, urls: dict[str, str], *words: str, **environment: str) -> Result:
    app = typer.Typer()
    app.command()(status)
    given = {url_variable(service): url for service, url in urls.items()} | environment | {"COLUMNS": "80"}
    return CliRunner().invoke(app, ["--home", str(home), *words], env=given)


def test_all_well_is_one_line_and_fits_a_terminal(tmp_path: Path) -> None:
    with answering(READY) as url:
        shown = run(tmp_path, dict.fromkeys(SERVICES, url) | {"scoring": f"{url},{url}"})
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == "ALL WELL"
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert sum("1.2.3" in line and "200 MB" in line for line in lines) == 6
    assert "scoring-2" in shown.stdout


def test_a_process_that_is_not_ready_is_the_verdict(tmp_path: Path) -> None:
    waiting = {"/health/ready": '{"status": "waiting", "problems": {"state": "Redis does not answer"}}'}
    with answering(READY) as url, answering(READY | waiting, status=503) as other:
        urls = dict.fromkeys(SERVICES[:-1], url) | {"features": other}
        shown = run(tmp_path, urls)
    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[0] == "NOT READY: features, drift"
    told = " ".join(shown.stdout.split())
    assert "features: state: Redis does not answer" in told
    assert "drift: its address is not known: set HEADRACE_DRIFT_URL" in told


def test_an_address_that_is_none_is_said_of_its_process(tmp_path: Path) -> None:
    with answering(READY) as url:
        shown = run(tmp_path, dict.fromkeys(SERVICES, url) | {"scoring": "http://scoring:80a"})
    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[0] == "NOT READY: scoring"
    assert "http://scoring:80a is no address" in " ".join(shown.stdout.split())


def test_without_prometheus_the_metrics_tell_what_is_wrong(tmp_path: Path) -> None:
    lagging = READY | {"/metrics": 'headrace_loop_lag_seconds{service="features",loop="features"} 95\n'}
    with answering(READY) as url, answering(lagging) as other:
        shown = run(tmp_path, dict.fromkeys(SERVICES, url) | {"features": other})
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[0] == "READY, BUT LOOK: 1 thing(s) below"
    assert "features is 95 s behind" in shown.stdout


def test_prometheus_is_asked_what_fires_where_it_is_known(tmp_path: Path) -> None:
    alert = {
        "labels": {"alertname": "DecisionsSlow", "severity": "page"},
        "annotations": {"summary": "decisions take 2 s"},
        "state": "firing",
        "activeAt": "2026-03-02T12:00:00.5Z",
        "value": "2e+00",
    }
    pending = alert | {"state": "pending", "labels": {"alertname": "NotYet"}}
    alerts = json.dumps({"status": "success", "data": {"alerts": [alert, pending]}})
    with answering(READY | {"/api/v1/alerts": alerts}) as url:
        shown = run(tmp_path, dict.fromkeys(SERVICES, url), HEADRACE_PROMETHEUS_URL=url)
        told = json.loads(run(tmp_path, dict.fromkeys(SERVICES, url), "--json", "--prometheus", url).stdout)
    assert "DecisionsSlow: decisions take 2 s" in shown.stdout
    assert "NotYet" not in shown.stdout
    assert [one["name"] for one in told["alerts"]] == ["DecisionsSlow"]
    assert {one["version"] for one in told["processes"]} == {"1.2.3"}


def test_a_prometheus_that_does_not_answer_is_said_and_not_trusted(tmp_path: Path) -> None:
    with answering(READY) as url:
        shown = run(tmp_path, dict.fromkeys(SERVICES, url), HEADRACE_PROMETHEUS_URL="http://127.0.0.1:1")
    assert "does not tell which alerts fire" in " ".join(shown.stdout.split())
