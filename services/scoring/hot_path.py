"""POST /v1/score on a payment's critical path: an ASGI function in front of the router.

FastAPI's way to an endpoint costs as much as everything that is done for the payment.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send

from services.scoring.direct import Answer, DirectScoring
from shared.access.gate import caller_of
from shared.access.probing import ProbingBudget
from shared.contracts.topics import TRANSACTIONS
from shared.intake.http import DescribedApi, received, refusal, trace_id_in
from shared.intake.posted import POSTED
from shared.intake.problems import IntakeError
from shared.intake.taking import take
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.clock_skew import FutureBound

SCORE_PATH = "/v1/score"
PAYMENT = next(posted for posted in POSTED if posted.topic is TRANSACTIONS)

_SECONDS = metrics.DECISION_SECONDS.labels("rest")


class HotPath:
    """Answers a payment with its decision."""

    def __init__(
        self, direct: DirectScoring, probing: ProbingBudget, clock: Clock, *, future: FutureBound, body_bytes_max: int
    ) -> None:
        """Wire it; a payment dated beyond `future` is refused."""
        self._direct = direct
        self._probing = probing
        self._clock = clock
        self._future = future
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            body = answer_body(await self.answer(scope, receive))
        except IntakeError as error:
            await refusal(error)(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Return the decision on the payment that a request posts; raises IntakeError."""
        started = self._clock.monotonic_seconds()
        body = await received(SCORE_PATH, receive, self._body_bytes_max)
        taken = take(PAYMENT, body, trace_id=trace_id_in(scope["headers"]), future=self._future)
        answer = await self._direct.decided(taken)
        _SECONDS.observe(self._clock.monotonic_seconds() - started)
        delay_seconds = self._probing.delay_seconds(caller_of(scope), answer.vector.transaction)
        if delay_seconds:
            await asyncio.sleep(delay_seconds)
        return answer


def answer_body(answer: Answer) -> bytes:
    """Return the decision as it is answered: its own bytes, with one member put before."""
    return b'{"decision_id":"%b",%b' % (answer.decision_id.encode(), answer.decision[1:])


class HotApi(DescribedApi):
    """An API that has POST /v1/score answered before its router sees it; with a query the router gets it."""

    def __init__(self, hot_path: HotPath, *, schemas: Mapping[str, Any], title: str, description: str) -> None:
        super().__init__(schemas=schemas, title=title, description=description)
        self._hot_path = hot_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI says."""
        is_hot = (
            scope["type"] == "http"
            and scope["path"] == SCORE_PATH
            and scope["method"] == "POST"
            and not scope["query_string"]
        )
        await (self._hot_path if is_hot else super().__call__)(scope, receive, send)
