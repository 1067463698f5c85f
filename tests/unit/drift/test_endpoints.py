"""/v1/drift over HTTP: what it answers, how it is described, who may ask."""

import threading

import msgspec
import pytest
from fastapi.testclient import TestClient

from services.drift.shown.endpoints import SCHEMAS, add_routes
from services.drift.shown.status import Snapshot
from shared.access.roles import ROLES_BY_PATH, Role, needed_role
from shared.intake.http import DescribedApi
from tests.unit.drift.status_scene import fallen_model, quiet_model, recall, snapshot

SEEN = snapshot(fallen_model(), quiet_model())


def client_of(seen: Snapshot) -> TestClient:
    app = DescribedApi(title="drift", description="for a test", schemas=SCHEMAS)
    add_routes(app, lambda: seen)
    return TestClient(app)


@pytest.fixture
def client() -> TestClient:
    return client_of(SEEN)


def test_what_is_answered_is_what_is_seen(client: TestClient) -> None:
    answer = client.get("/v1/drift")
    assert answer.status_code == 200
    assert msgspec.json.decode(answer.content, type=Snapshot) == SEEN


def test_evidence_without_end_can_be_told() -> None:
    endless = snapshot(fallen_model(signals=[recall(evidence_days=1e304)]))
    assert msgspec.json.decode(client_of(endless).get("/v1/drift").content, type=Snapshot) == endless


def test_the_document_describes_what_is_answered(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    answer = document["paths"]["/v1/drift"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/Snapshot"}
    schemas = document["components"]["schemas"]
    assert {"Snapshot", "ModelStatus", "Family", "Signal", "Distribution", "DriftAlarm"} <= set(schemas)


def test_the_report_is_a_page_also_when_several_ask_at_once() -> None:
    client, pages = client_of(snapshot(quiet_model())), list[str]()

    def ask() -> None:
        answer = client.get("/v1/drift/report")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        pages.append(answer.text)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(pages) == 2
    assert pages[0] == pages[1]
    assert pages[0].rstrip().endswith("</html>")


@pytest.mark.parametrize("path", ["/v1/drift", "/v1/drift/report"])
def test_only_an_admin_reads_how_models_fail(path: str) -> None:
    assert needed_role(ROLES_BY_PATH, path, "GET") is Role.ADMIN
