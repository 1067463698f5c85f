"""REST: one payment in, its decision out."""

from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response

from services.scoring.direct import DirectScoring
from shared.contracts.events import Decision
from shared.contracts.topics import TRANSACTIONS
from shared.intake.http import (
    REFERENCE,
    TRACEPARENT,
    DescribedApi,
    ErrorAnswer,
    body_of,
    described,
    json_answer,
    reference,
    trace_id_of,
)
from shared.intake.posted import POSTED
from shared.intake.taking import take
from shared.runtime.clock_skew import FutureBound

_PAYMENT = next(posted for posted in POSTED if posted.topic is TRANSACTIONS)
_, _ANSWERS = msgspec.json.schema_components([Decision, ErrorAnswer], ref_template=REFERENCE)
_OUTCOMES: dict[int, tuple[str, type]] = {
    200: ("The decision, which also goes to `scores`.", Decision),
    400: ("Not JSON.", ErrorAnswer),
    413: ("The body is too large.", ErrorAnswer),
    422: ("A field is missing, unknown or wrong; the answer names it.", ErrorAnswer),
    503: ("The log is away or busy: retry with the same id after Retry-After seconds.", ErrorAnswer),
}


def scoring_api(direct: DirectScoring, *, future: FutureBound, body_bytes_max: int) -> FastAPI:
    """Return the app; a payment dated beyond `future` is refused."""
    app = DescribedApi(
        schemas={**_PAYMENT.schemas, **_ANSWERS}, title="Headrace scoring", description="Payments in, decisions out."
    )

    async def score(request: Request) -> Response:
        body = await body_of(request, body_bytes_max)
        decision = await direct.decide(take(_PAYMENT, body, trace_id=trace_id_of(request), future=future))
        return json_answer(decision, HTTPStatus.OK)

    operation = described(reference(_PAYMENT.event_type), _OUTCOMES, [TRACEPARENT])
    app.post("/v1/score", tags=["scoring"], summary="Decide on one payment now", operation_id="score", **operation)(
        score
    )
    return app
