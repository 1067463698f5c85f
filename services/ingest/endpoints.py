"""REST: one path for one event and one for a batch, for each kind of event that clients post."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response

from services.ingest.intake import Intake
from services.ingest.openapi import SCHEMAS, batch_operation, one_operation
from shared.intake.http import DescribedApi, body_of, json_answer, trace_id_of
from shared.intake.posted import POSTED, Posted
from shared.intake.problems import MalformedError

_KEY_CHARACTERS_MAX = 255

Endpoint = Callable[[Request], Awaitable[Response]]


def ingest_api(intake: Intake, *, event_bytes_max: int, batch_bytes_max: int) -> FastAPI:
    """Return the app."""
    app = DescribedApi(
        schemas=SCHEMAS, title="Headrace ingest", description="Takes events in and puts them on the log."
    )
    for posted in POSTED:
        path = f"/v1/{posted.topic.name}"
        one = _one_endpoint(intake, posted, event_bytes_max)
        many = _batch_endpoint(intake, posted, batch_bytes_max)
        app.post(path, tags=["events"], status_code=202, **one_operation(posted))(one)
        app.post(f"{path}/batch", tags=["events"], status_code=202, **batch_operation(posted))(many)
    return app


def _one_endpoint(intake: Intake, posted: Posted, bytes_max: int) -> Endpoint:
    async def take_one(request: Request) -> Response:
        body = await body_of(request, bytes_max)
        accepted = await intake.take_one(
            posted, body, trace_id=trace_id_of(request), idempotency_key=_idempotency_key(request)
        )
        return json_answer(accepted, HTTPStatus.ACCEPTED)

    return take_one


def _batch_endpoint(intake: Intake, posted: Posted, bytes_max: int) -> Endpoint:
    async def take_many(request: Request) -> Response:
        body = await body_of(request, bytes_max)
        return json_answer(await intake.take_many(posted, body, trace_id=trace_id_of(request)), HTTPStatus.ACCEPTED)

    return take_many


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= _KEY_CHARACTERS_MAX:
        raise MalformedError(
            "invalid_header",
            f"an Idempotency-Key has 1 to {_KEY_CHARACTERS_MAX} characters",
            field="Idempotency-Key",
            hint="Send a UUID, or leave the header out: the event's own fields then tell repeats apart.",
        )
    return key
