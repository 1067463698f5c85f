"""REST: a file of payments in, a job that decides them, its decisions out."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse

from services.scoring.jobs.asked import Asked, JobRefusedError, asked
from services.scoring.jobs.described import MEDIA_TYPES, REJECTED, REMOVE, RESULT, SHOW, SUBMIT, JobAnswer
from services.scoring.jobs.folder import ACTIVE, Columns, JobFolder, Order
from services.scoring.jobs.results import Format
from services.scoring.jobs.runner import JobRunner
from services.scoring.model import ScoringModel
from services.scoring.policy.policy import Policy
from services.scoring.roles import Roles
from shared.bus.base import BusUnavailableError
from shared.contracts.events import ListEvent, Verdict
from shared.files.event_file import FileError
from shared.files.mapping import RowMapping
from shared.files.sources import open_source
from shared.intake.http import json_answer
from shared.intake.problems import MalformedError, NotTakenError, TooLargeError
from shared.models.manifest import Manifest

_WRITTEN_BYTES = 1 << 20


class InForce(NamedTuple):
    """What decides now.

    entries: of lists, as they stand on the log; raises BusUnavailableError. fallback: where a payment gets no score.
    """

    roles: Callable[[], Roles[ScoringModel]]
    policy: Callable[[], Policy]
    entries: Callable[[], Sequence[ListEvent]]
    fallback: Verdict


def job_routes(app: FastAPI, runner: JobRunner, in_force: InForce, *, bytes_max: int) -> None:
    """Add /v1/jobs to an app whose OpenAPI document has JOB_SCHEMAS; a file has at most `bytes_max`."""

    async def submit(request: Request) -> Response:
        wanted = asked(request.query_params)
        columns, champion = wanted.columns(), _champion(in_force)
        with _disk_trouble_told(), runner.filling() as filling:
            payments = filling.payments(wanted.format)
            await _receive(request, payments, bytes_max)
            await asyncio.to_thread(_check_columns, columns, payments)
            job = runner.submit(filling, await asyncio.to_thread(_order, wanted, columns, champion, in_force))
        return _answer(job, HTTPStatus.ACCEPTED)

    def show(job_id: str) -> Response:
        with _found(runner, job_id) as job:
            return _answer(job, HTTPStatus.OK)

    def result(job_id: str) -> Response:
        with _found(runner, job_id) as job:
            order, state = job.order, job.status.state
        if state != "done":
            raise HTTPException(HTTPStatus.CONFLICT, f"the job is {state}; there are decisions once it is done")
        return _sent(job.result(order), order.result_format)

    def rejected(job_id: str) -> Response:
        with _found(runner, job_id) as job:
            if not job.rejected.exists():
                raise HTTPException(HTTPStatus.NOT_FOUND, "nothing was refused, or the job is not done")
        return _sent(job.rejected, "jsonl")

    def remove(job_id: str) -> Response:
        with _found(runner, job_id) as job:
            if job.status.state in ACTIVE:
                job.cancel()
                return _answer(job, HTTPStatus.ACCEPTED)
            job.remove()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    path = "/v1/jobs/{job_id}"
    app.post("/v1/jobs", **SUBMIT)(submit)
    app.get(path, **SHOW)(show)
    app.get(f"{path}/result", **RESULT)(result)
    app.get(f"{path}/rejected", **REJECTED)(rejected)
    app.delete(path, **REMOVE)(remove)


def _champion(in_force: InForce) -> Manifest:
    champion = in_force.roles().champion
    if champion is None:
        raise NotTakenError("no_model", "no model is in service")
    return champion.manifest


def _order(wanted: Asked, columns: Columns, champion: Manifest, in_force: InForce) -> Order:
    policy = in_force.policy()
    try:
        entries = in_force.entries()
    except BusUnavailableError as error:
        raise NotTakenError("log_away", f"the lists cannot be read: {error}") from error
    return Order(
        format=wanted.format,
        result_format=wanted.result or wanted.format,
        columns=columns,
        model_version=champion.model_version,
        model_digest=champion.model_digest,
        policy=policy.document,
        policy_version=policy.version,
        entries=list(entries),
        fallback=in_force.fallback,
    )


async def _receive(request: Request, path: Path, bytes_max: int) -> None:
    """Write a request's body to `path`, a piece at a time."""
    total, pieces = 0, bytearray()
    with path.open("wb") as file:
        try:
            async for piece in request.stream():
                total += len(piece)
                if total > bytes_max:
                    hint = "Send it in parts, each with the history that its features need, or use `headrace score`."
                    raise TooLargeError("too_large", f"the file is larger than {bytes_max} bytes", hint=hint)
                pieces += piece
                if len(pieces) >= _WRITTEN_BYTES:
                    await asyncio.to_thread(file.write, bytes(pieces))
                    pieces.clear()
        except ClientDisconnect as error:
            raise MalformedError("incomplete", "the client left before the file was complete") from error
        await asyncio.to_thread(file.write, bytes(pieces))


def _check_columns(columns: Columns, payments: Path) -> None:
    """Refuse a file whose columns do not make payments now rather than later."""
    try:
        RowMapping(columns.of(payments), open_source(payments).columns)
    except FileError as error:
        raise JobRefusedError("invalid_file", str(error).replace(f"{payments.parent}/", "")) from error


@contextlib.contextmanager
def _found(runner: JobRunner, job_id: str) -> Iterator[JobFolder]:
    """Yield a job; answer 404 where there is none, or it goes while it is read."""
    try:
        yield runner.find(job_id)
    except FileNotFoundError:
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such job, or it is not kept any more") from None


@contextlib.contextmanager
def _disk_trouble_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotTakenError("disk", f"the file cannot be kept: {error.strerror}") from error


def _answer(job: JobFolder, status: int) -> Response:
    answer = json_answer(JobAnswer.of(job), status)
    answer.headers["Location"] = f"/v1/jobs/{job.job_id}"
    return answer


def _sent(path: Path, format_name: Format) -> Response:
    """Return a file, sent as it is read."""
    name = f"{path.parent.name}-{path.name}"
    return FileResponse(path, media_type=MEDIA_TYPES[format_name], filename=name)
