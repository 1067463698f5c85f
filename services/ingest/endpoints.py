"""REST: a path for one event and one for a batch, of each kind that clients post; a path for each item and user."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Struct

from services.ingest.intake import Intake
from services.ingest.openapi import SCHEMAS, batch_operation, delete_operation, one_operation, put_operation
from shared.access.gate import Gate, caller_of
from shared.intake.http import DescribedApi, body_of, json_answer, sent_trace_id, trace_id_of
from shared.intake.posted import POSTED, PUT, Posted
from shared.intake.problems import MalformedError

_KEY_CHARACTERS_MAX = 255

Endpoint = Callable[[Request], Awaitable[Response]]


class _Counted(Struct):
    events: list[msgspec.Raw] = []


_counter = msgspec.json.Decoder(_Counted)


def ingest_api(intake: Intake, gate: Gate, *, event_bytes_max: int, batch_bytes_max: int) -> FastAPI:
    """Return the app, to stand behind `gate`, which counts each event of a batch."""
    app = DescribedApi(
        schemas=SCHEMAS, title="Headrace ingest", description="Takes events in and puts them on the log."
    )
    for posted in POSTED:
        path = f"/v1/{posted.topic.name}"
        one = _one_endpoint(intake, posted, event_bytes_max)
        many = _batch_endpoint(intake, gate, posted, batch_bytes_max)
        app.post(path, tags=["events"], status_code=202, **one_operation(posted))(one)
        app.post(f"{path}/batch", tags=["events"], status_code=202, **batch_operation(posted))(many)
    for put in PUT:
        # An id may have slashes.
        path = f"/v1/{put.topic.name}/{{{put.topic.key}:path}}"
        app.put(path, tags=["catalogue"], status_code=202, **put_operation(put))(
            _put_endpoint(intake, put, event_bytes_max)
        )
        app.delete(path, tags=["catalogue"], status_code=202, **delete_operation(put))(_delete_endpoint(intake, put))
    return app


def _one_endpoint(intake: Intake, posted: Posted, bytes_max: int) -> Endpoint:
    async def take_one(request: Request) -> Response:
        body = await body_of(request, bytes_max)
        accepted = await intake.take_one(
            posted, body, trace_id=trace_id_of(request.scope), idempotency_key=_idempotency_key(request)
        )
        return json_answer(accepted, HTTPStatus.ACCEPTED)

    return take_one


def _batch_endpoint(intake: Intake, gate: Gate, posted: Posted, bytes_max: int) -> Endpoint:
    async def take_many(request: Request) -> Response:
        body = await body_of(request, bytes_max)
        gate.admit_batch(caller_of(request.scope), _event_count(body))
        return json_answer(
            await intake.take_many(posted, body, trace_id=sent_trace_id(request.scope)), HTTPStatus.ACCEPTED
        )

    return take_many


def _put_endpoint(intake: Intake, put: Posted, bytes_max: int) -> Endpoint:
    async def put_one(request: Request) -> Response:
        body = await body_of(request, bytes_max)
        entry_id = request.path_params[put.topic.key]
        return json_answer(
            await intake.put(put, entry_id, body, trace_id=trace_id_of(request.scope)), HTTPStatus.ACCEPTED
        )

    return put_one


def _delete_endpoint(intake: Intake, put: Posted) -> Endpoint:
    async def delete_one(request: Request) -> Response:
        entry_id = request.path_params[put.topic.key]
        return json_answer(await intake.delete(put, entry_id, trace_id=trace_id_of(request.scope)), HTTPStatus.ACCEPTED)

    return delete_one


def _event_count(body: bytes) -> int:
    try:
        return len(_counter.decode(body).events)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0  # the intake says what is wrong with it


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
