"""What a process shows of itself: from the first moment, by class of answer, and in sum with its siblings."""

import asyncio
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from shared.runtime import metrics
from shared.runtime.metrics.birth import begin_at_zero
from shared.runtime.metrics.bounds import SERVICES
from shared.runtime.metrics.exposition import exposition, parse_exposition
from shared.runtime.responses import counted
from shared.runtime.service import Service, http_server
from shared.runtime.settings import ServiceSettings
from tests.architecture.source import ROOT

COMMIT = "c0ffee"
PROCESS = """
import sys
from shared.runtime import metrics
from shared.runtime.metrics.birth import begin_at_zero
from shared.runtime.metrics.exposition import exposition
begin_at_zero("scoring")
for seconds in map(float, sys.argv[1:]):
    metrics.DECISIONS.labels("review", "", "stream", "champion").inc()
    metrics.DECISION_SECONDS.labels("stream").observe(seconds)
sys.stdout.buffer.write(exposition())
"""


def value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


def answered(app: FastAPI, *paths: str) -> list[int]:
    """Return the status of each answer; what raises is answered by the server behind, with 500."""

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app=counted(app, "ingest"), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return [(await client.get(path)).status_code for path in paths]

    return asyncio.run(ask())


def test_answers_are_counted_by_the_class_of_their_status() -> None:
    app = FastAPI()

    @app.get("/status/{status}")
    async def answer(status: int) -> Response:
        return Response(status_code=status)

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError

    def counts() -> list[float]:
        return [
            value("headrace_http_responses_total", service="ingest", status=f"{each}xx") or 0.0 for each in range(2, 6)
        ]

    before = counts()
    told = answered(app, "/status/200", "/status/204", "/status/307", "/status/429", "/nowhere", "/status/503", "/bug")
    assert told == [200, 204, 307, 429, 404, 503, 500]
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [2, 1, 2, 2]
    assert answered(app, "/health/ready", "/metrics") == [404, 404]
    assert sum(counts()) == sum(before) + 7, "a probe that is told to wait is no caller who was refused"


def test_a_process_tells_which_build_it_is_and_what_it_costs(tmp_path: Path) -> None:
    settings = ServiceSettings(headrace_home=tmp_path, headrace_code_commit=COMMIT)
    http_server(Service(name="drift", app=FastAPI()), settings)
    [build] = [
        sample
        for sample in parse_exposition(exposition().decode())
        if sample.name == "headrace_build_info" and sample.labels["commit"] == COMMIT
    ]
    assert (build.labels["service"], build.value) == ("drift", 1.0)
    assert build.labels["version"]
    assert (value("process_resident_memory_bytes") or 0) > 0
    assert (value("process_open_fds") or 0) > 0


@pytest.mark.parametrize("service", SERVICES)
def test_what_may_come_stands_at_zero_before_it_does(service: str) -> None:
    begin_at_zero(service)
    shown = {(sample.name, *sorted(sample.labels.items())) for sample in parse_exposition(exposition().decode())}

    def stands(name: str, **labels: str) -> bool:
        return (name, *sorted(labels.items())) in shown

    for neighbour in ("store", "kafka"):
        assert stands("headrace_loop_retries_total", service=service, neighbour=neighbour)
    reads = {"ingest": None, "features": "transactions", "scoring": "features", "training": "labels", "drift": "scores"}
    if (topic := reads[service]) is not None:
        assert stands("headrace_dead_letters_total", service=service, topic=topic, error="invalid")
        assert stands("headrace_records_consumed_total", service=service, topic=topic)
    of_one = {
        "ingest": ("headrace_ingested_total", {"topic": "labels", "outcome": "unavailable"}),
        "features": ("headrace_unmatched_labels_total", {"service": "features"}),
        "scoring": ("headrace_jobs_total", {"state": "failed"}),
        "training": ("headrace_trainings_total", {"model": "fraud", "outcome": "refused"}),
        "drift": ("headrace_drift_retrainings_total", {"model": "recommendation", "outcome": "needless"}),
    }
    name, labels = of_one[service]
    assert stands(name, **labels)


def test_a_clock_in_the_future_is_a_fault_of_clients_only() -> None:
    begin_at_zero("scoring")
    about = {"service": "scoring", "error": "ahead_of_clock"}
    assert value("headrace_dead_letters_total", topic="interactions", **about) is not None
    assert value("headrace_dead_letters_total", topic="features", **about) is None


def test_the_numbers_of_two_processes_add_up() -> None:
    """Each serves what it did itself, under the same labels, so that their sum is what was done."""
    texts = [
        subprocess.run([sys.executable, "-c", PROCESS, *seconds], cwd=ROOT, capture_output=True, text=True, check=True)
        for seconds in (("0.004", "0.004", "3"), ("0.004", "30"))
    ]
    sums: dict[tuple[object, ...], float] = defaultdict(float)
    series = []
    for text in texts:
        samples = [each for each in parse_exposition(text.stdout) if each.name.startswith("headrace_")]
        series.append({(each.name, *sorted(each.labels.items())) for each in samples})
        for each in samples:
            sums[each.name, *sorted(each.labels.items())] += each.value
    assert series[0] == series[1]
    fast = sums["headrace_decision_seconds_bucket", ("le", "0.005"), ("path", "stream")]
    every = sums["headrace_decision_seconds_bucket", ("le", "+Inf"), ("path", "stream")]
    assert (fast, every) == (3.0, 5.0)
    about = (("decision", "review"), ("degraded", ""), ("path", "stream"), ("role", "champion"))
    assert sums["headrace_decisions_total", *about] == 5.0
