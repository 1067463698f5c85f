"""How /v1/jobs answers, and how the OpenAPI document describes it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import msgspec
from fastapi import Response
from msgspec import Meta, Struct

from services.scoring.jobs.asked import parameters
from services.scoring.jobs.folder import JobFolder, State
from services.scoring.jobs.payments import Refusal
from services.scoring.jobs.results import Format
from shared.intake.http import REFERENCE, ErrorAnswer, reference

MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
_REFUSALS_SHOWN = 20


class JobAnswer(Struct, frozen=True, kw_only=True):
    """A job, and how far it is.

    Payments are decided in order of time, as the platform would have, by the champion, the policy and the lists that
    were in force when the job was submitted; a canary decides none. What happened before the file's first payment is
    not known to it.
    """

    job_id: str
    state: State
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    problem: Annotated[str, Meta(description="Why it failed or was interrupted.")] | None
    fraction: Annotated[float, Meta(ge=0, le=1, description="Of the file, that is done.")]
    decided: Annotated[int, Meta(description="Payments decided.")]
    refused: Annotated[int, Meta(description="Payments and labels refused.")]
    verdicts: Annotated[dict[str, int], Meta(description="How many payments, by decision.")]
    refusals: Annotated[list[Refusal], Meta(description="The first of those refused, each with its row and reason.")]
    model_version: int
    policy_version: int
    history: Annotated[Literal["file"], Meta(description="Where features know the past from.")] = "file"

    @classmethod
    def of(cls, job: JobFolder) -> Self:
        """Return what a job's files tell."""
        status, progress, order = job.status, job.progress, job.order
        return cls(
            job_id=job.job_id,
            state=status.state,
            submitted_at=status.submitted_at,
            started_at=status.started_at,
            finished_at=status.finished_at,
            problem=status.problem,
            fraction=progress.fraction,
            decided=progress.decided,
            refused=progress.refused,
            verdicts=progress.verdicts,
            refusals=job.refusals(_REFUSALS_SHOWN),
            model_version=order.model_version,
            policy_version=order.policy_version,
        )


_, JOB_SCHEMAS = msgspec.json.schema_components([JobAnswer, ErrorAnswer], ref_template=REFERENCE)


def _described(
    operation_id: str, summary: str, answers: Mapping[int, tuple[str, type | None]], request: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how an operation is described to FastAPI; an answer of no type is a file, or nothing."""
    return {
        "operation_id": operation_id,
        "summary": summary,
        "tags": ["jobs"],
        "status_code": min(answers),
        "response_class": Response,
        "responses": {
            status: {"description": text, "content": {"application/json": {"schema": reference(kind)}} if kind else {}}
            for status, (text, kind) in answers.items()
        },
        "openapi_extra": request,
    }


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ONE = {"parameters": [{"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}]}
_NO_JOB = {404: ("There is no such job, or it is not kept any more.", ErrorAnswer)}

SUBMIT = _described(
    "submit_job",
    "Decide a file of payments",
    {
        202: ("The job, at Location.", JobAnswer),
        400: ("The body was not complete.", ErrorAnswer),
        413: ("The file is too large.", ErrorAnswer),
        422: ("A parameter is wrong, or the file's columns make no payments; the answer says what to do.", ErrorAnswer),
        503: ("No model is in service, or too many jobs wait: retry after Retry-After seconds.", ErrorAnswer),
    },
    {
        "parameters": parameters(),
        "requestBody": {"required": True, "content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY)},
    },
)
SHOW = _described("show_job", "Tell how far a job is", {200: ("The job.", JobAnswer), **_NO_JOB}, _ONE)
RESULT = _described(
    "job_result",
    "Return a job's decisions",
    {200: ("The file.", None), 409: ("The job is not done.", ErrorAnswer), **_NO_JOB},
    _ONE,
)
REJECTED = _described(
    "job_rejected", "Return what a job refused, as JSON Lines", {200: ("The file.", None), **_NO_JOB}, _ONE
)
REMOVE = _described(
    "remove_job",
    "Cancel a job, or remove one that has ended",
    {
        202: ("It is cancelled as soon as it can be.", JobAnswer),
        204: ("It had ended and is removed.", None),
        **_NO_JOB,
    },
    _ONE,
)
