"""Whatever the OpenAPI documents allow or forbid is sent: no 5xx, and every answer is one of those they describe."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from services.drift.app import build as build_drift
from services.drift.settings import DriftSettings
from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
from services.ingest.app import build as build_ingest
from services.ingest.settings import IngestSettings
from services.scoring.app import build as build_scoring
from services.scoring.settings import ScoringSettings
from shared.bus.memory import MemoryBus
from shared.contracts.topics import TOPICS
from shared.intake.http import merged_schemas
from shared.models.packages import Packages
from shared.runtime.clock import SystemClock
from shared.runtime.service import Service, http_server
from shared.runtime.settings import ServiceSettings
from shared.store.memory import MemoryStore
from tests.unit.ingest.serving import await_ready
from tests.unit.scoring.recommendations.recommending_scene import announce
from tests.unit.scoring.recommendations.recommending_scene import register as register_recommender
from tests.unit.scoring.scoring_scene import promote, register

REQUESTS = 12
"""Of each operation and kind."""
load_all_checks()
CHECKED = CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)


EXPECTED = {
    "ingest": {"POST /v1/transactions", "POST /v1/labels/batch", "PUT /v1/items/{item_id}", "GET /metrics"},
    "features": {"GET /health/ready", "GET /metrics"},
    "scoring": {
        "POST /v1/score",
        "POST /v1/score/batch",
        "POST /v1/jobs",
        "GET /v2",
        "POST /v2/models/{model}/infer",
        "GET /v1/recommendations/{user_id}",
        "POST /v1/recommendations",
        "GET /v1/items/{item_id}/similar",
        "GET /v1/popular",
        "GET /v1/trending",
        "POST /v1/rank",
    },
    "drift": {"GET /v1/drift", "GET /v1/drift/report"},
}
"""Some of the operations that each service must have."""


def ingest(home: Path) -> tuple[Service, ServiceSettings]:
    configured = IngestSettings(headrace_home=home)
    clock = SystemClock()
    return build_ingest(configured, MemoryBus(partitions=1), MemoryStore(clock), clock), configured


def features(home: Path) -> tuple[Service, ServiceSettings]:
    configured = FeaturesSettings(headrace_home=home)
    clock = SystemClock()
    return build_features(configured, MemoryBus(partitions=1), MemoryStore(clock), clock), configured


def drift(home: Path) -> tuple[Service, ServiceSettings]:
    bus, clock = MemoryBus(partitions=1), SystemClock()
    bus.create_topics(TOPICS)
    configured = DriftSettings(headrace_home=home)
    return build_drift(configured, bus, MemoryStore(clock), clock), configured


def scoring(home: Path) -> tuple[Service, ServiceSettings]:
    bus, clock = MemoryBus(partitions=1), SystemClock()
    bus.create_topics(TOPICS)
    promote(bus, register(Packages(home / "models"), 1))
    announce(bus, "promoted", register_recommender(home))
    # Near-repeated payments are what is sent here, and slowing them down is not what is asked about.
    configured = ScoringSettings(headrace_home=home, headrace_scoring_probing_delay_seconds_max=0.0)
    return build_scoring(configured, bus, MemoryStore(clock), clock), configured


@contextlib.contextmanager
def listening(service: Service, configured: ServiceSettings) -> Iterator[str]:
    server = http_server(service, configured)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url) as client:
                await_ready(client)
            yield url
        finally:
            server.should_exit = True
            thread.join()
    assert not service.failed.is_set()


@pytest.mark.parametrize("build", [ingest, features, scoring, drift])
def test_no_request_is_answered_otherwise_than_described(
    tmp_path: Path, build: Callable[[Path], tuple[Service, ServiceSettings]]
) -> None:
    asked = set()
    with listening(*build(tmp_path)) as url:
        document: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
        for found in document.get_all_operations():
            operation = found.ok()
            ask(operation, GenerationMode.POSITIVE)
            if [*operation.iter_parameters(), *operation.body]:
                # Of some operations nothing can be made that is forbidden, as where the body may be any bytes.
                with contextlib.suppress(Unsatisfiable):
                    ask(operation, GenerationMode.NEGATIVE)
            asked.add(operation.label)
    assert EXPECTED[build.__name__] <= asked


def ask(operation: Any, mode: GenerationMode) -> None:
    try:
        cases = operation.as_strategy(generation_mode=mode)
    except schemathesis.errors.InvalidSchema:
        pytest.fail(f"{operation.label} is not described well enough to be asked")

    @settings(max_examples=REQUESTS, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=cases)
    def answered(case: Any) -> None:
        response = case.call()
        case.validate_response(response, checks=CHECKED)
        if response.status_code in {400, 413, 422}:
            told = response.json()["error"]
            assert told if isinstance(told, str) else told["message"], response.text

    answered()


def test_explained_answers_are_as_described(tmp_path: Path) -> None:
    payment = {
        "schema_version": 1,
        "transaction_id": "t1",
        "occurred_at": "2026-01-31T09:30:00Z",
        "card_id": "c",
        "merchant_id": "m",
        "amount": 30310,
        "currency": "EUR",
        "mcc": "5411",
        "country": "DE",
        "channel": "ecommerce",
    }
    with listening(*scoring(tmp_path)) as url:
        document: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
        score = httpx.post(f"{url}/v1/score?explain=true", json=payment)
        shown = httpx.get(f"{url}/v1/recommendations/u1?explain=true")
        assert score.json()["explanation"]["contributions"]
        assert shown.json()["items"]
        document["/v1/score"]["POST"].validate_response(score)
        document["/v1/recommendations/{user_id}"]["GET"].validate_response(shown)


def test_one_name_cannot_describe_two_things() -> None:
    alike = {"Item": {"type": "object"}}
    assert merged_schemas(alike, {"Item": {"type": "object"}, "User": {}}) == {"Item": {"type": "object"}, "User": {}}
    with pytest.raises(ValueError, match="Item"):
        merged_schemas(alike, {"Item": {"type": "string"}})
