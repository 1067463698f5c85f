"""REST: how the models in force fare, as JSON and as a page."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Response

from services.drift.shown.report import report_of
from services.drift.shown.status import Snapshot
from shared.intake.http import REFERENCE, ErrorAnswer, described, json_answer

_, SCHEMAS = msgspec.json.schema_components([Snapshot, ErrorAnswer], ref_template=REFERENCE)
"""For the app's OpenAPI document (shared.intake.http.DescribedApi)."""

_STATUS: dict[str, Any] = {
    "operation_id": "drift_status",
    "summary": "Tell how the models in force fare: evidence, alarms, and what cannot be seen",
    "tags": ["drift"],
    "response_class": Response,
} | described(None, {200: ("Every model in force.", Snapshot)}, [])
_REPORT: dict[str, Any] = {
    "operation_id": "drift_report",
    "summary": "The same as a page that needs nothing else, with pictures",
    "tags": ["drift"],
    "response_class": Response,
    "responses": {200: {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}},
}


def add_routes(app: FastAPI, snapshot: Callable[[], Snapshot]) -> None:
    """Add /v1/drift and /v1/drift/report to an app whose OpenAPI document has SCHEMAS.

    snapshot: called from any thread, once a request.
    """

    def status() -> Response:
        return json_answer(snapshot(), HTTPStatus.OK)

    # Matplotlib draws for one thread at a time.
    drawing = threading.Lock()

    def report() -> Response:
        seen = snapshot()
        with drawing:
            page = report_of(seen)
        return Response(page, media_type="text/html; charset=utf-8")

    app.get("/v1/drift", **_STATUS)(status)
    app.get("/v1/drift/report", **_REPORT)(report)
