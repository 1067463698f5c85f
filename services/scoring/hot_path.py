"""POST /v1/score on a payment's critical path: in front of the router."""

import asyncio

from starlette.types import Receive, Scope

from services.scoring.decided_spans import decision_attributes
from services.scoring.direct import Answer, DirectScoring
from shared.access.gate import caller_of
from shared.access.probing import ProbingBudget
from shared.contracts.topics import TRANSACTIONS
from shared.intake.http import received, trace_id_of
from shared.intake.posted import POSTED
from shared.intake.taking import take
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.clock_skew import FutureBound
from shared.runtime.tracing.acting import acting

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

    async def body(self, scope: Scope, receive: Receive) -> bytes:
        """Return the JSON of the answer to one request; raises IntakeError."""
        return answer_body(await self.answer(scope, receive))

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Return the decision on the payment that a request posts; raises IntakeError."""
        started = self._clock.monotonic_seconds()
        body = await received(SCORE_PATH, receive, self._body_bytes_max)
        taken = take(PAYMENT, body, trace_id=trace_id_of(scope), future=self._future)
        answer = await self._direct.decided(taken)
        for span in acting().spans:
            span.note(decision_attributes(answer.decision))
        _SECONDS.observe(self._clock.monotonic_seconds() - started)
        delay_seconds = self._probing.delay_seconds(caller_of(scope), answer.vector.transaction)
        if delay_seconds:
            await asyncio.sleep(delay_seconds)
        return answer


def answer_body(answer: Answer) -> bytes:
    """Return the decision as it is answered: its own bytes, with one member put before."""
    return b'{"decision_id":"%b",%b' % (answer.decision_id.encode(), answer.decision[1:])
