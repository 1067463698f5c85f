"""REST: payments in, decisions out."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, cast

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Struct

from services.scoring.direct import AT_ONCE_MAX, Answer, DirectScoring
from services.scoring.hot_api import HotApi, HotRoute
from services.scoring.hot_path import PAYMENT, SCORE_PATH, HotPath, answer_body
from services.scoring.model import ScoringModel
from services.scoring.openapi import (
    SCHEMAS,
    BatchAnswer,
    BatchItem,
    ExplanationAnswer,
    FeatureContribution,
    ScoreAnswer,
    batch_operation,
    score_operation,
)
from services.scoring.roles import Roles
from shared.access.gate import Gate, caller_of
from shared.access.probing import ProbingBudget
from shared.intake.http import body_of, json_answer, merged_schemas, sent_trace_id
from shared.intake.problems import IntakeError, InvalidEventError
from shared.intake.taking import Taken, not_json, take
from shared.runtime.clock import Clock
from shared.runtime.clock_skew import FutureBound

_BATCH_DELAY_SECONDS_MAX = 30.0
_CHUNK = AT_ONCE_MAX // 2
"""So many of a batch at once leave room for payments that come alone."""


class Bounds(NamedTuple):
    """What a request may be: dated, and how large."""

    future: FutureBound
    body_bytes_max: int
    batch_bytes_max: int
    batch_payments_max: int


class _Decided(Struct):
    """A decision, as far as the model that made it."""

    model_version: int


_decided_decoder = msgspec.json.Decoder(_Decided)
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class Scoring:
    """The endpoints behind the router, and the hot path in front of it."""

    def __init__(
        self,
        direct: DirectScoring,
        roles: Callable[[], Roles[ScoringModel]],
        gate: Gate,
        probing: ProbingBudget,
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        """Wire them; `gate` counts each payment of a batch."""
        self._direct = direct
        self._roles = roles
        self._gate = gate
        self._bounds = bounds
        self._probing = probing
        self._hot_path = HotPath(
            direct, self._probing, clock, future=bounds.future, body_bytes_max=bounds.body_bytes_max
        )

    def api(self, schemas: Sequence[Mapping[str, Any]], hot_routes: Sequence[HotRoute] = ()) -> FastAPI:
        """Return the app.

        schemas: by name, of whatever else is added to it. hot_routes: of that, what is answered before the router.
        """
        app = HotApi(
            [HotRoute("POST", SCORE_PATH, self._hot_path.body, takes_query=False), *hot_routes],
            schemas=merged_schemas(SCHEMAS, *schemas),
            title="Headrace scoring",
            description="Payments in, decisions out; and what shoppers should see next.",
        )
        app.post(SCORE_PATH, tags=["scoring"], **score_operation())(self.score)
        app.post(f"{SCORE_PATH}/batch", tags=["scoring"], **batch_operation())(self.score_batch)
        return app

    async def score(self, request: Request) -> Response:
        """Answer one payment, explained where that is asked for."""
        is_explained = _is_explained(request)
        answer = await self._hot_path.answer(request.scope, request.receive)
        body = answer_body(answer)
        if is_explained:
            explanation = msgspec.json.encode(self._explanation(answer))
            body = b'%b,"explanation":%b}' % (body[:-1], explanation)
        return Response(body, media_type="application/json")

    async def score_batch(self, request: Request) -> Response:
        """Answer many payments, each on its own."""
        body = await body_of(request, self._bounds.batch_bytes_max)
        payments = _payments(body)
        if len(payments) > self._bounds.batch_payments_max:
            raise InvalidEventError(
                "too_many_payments",
                f"{len(payments)} payments in one batch",
                hint=f"Send at most {self._bounds.batch_payments_max} payments a batch.",
            )
        caller = caller_of(request.scope)
        self._gate.admit_batch(caller, len(payments))
        outcomes = await self._outcomes(payments, sent_trace_id(request.scope))
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        delays = (self._probing.delay_seconds(caller, answer.vector.transaction) for answer in answers)
        if delay_seconds := min(sum(delays), _BATCH_DELAY_SECONDS_MAX):
            await asyncio.sleep(delay_seconds)
        items = [_item(index, outcome) for index, outcome in enumerate(outcomes)]
        failed = len(items) - len(answers)
        return json_answer(BatchAnswer(decided=len(answers), failed=failed, items=items), HTTPStatus.OK)

    async def _outcomes(
        self, payments: Sequence[bytes | msgspec.Raw], trace_id: str | None
    ) -> list[Answer | IntakeError]:
        outcomes: list[Answer | IntakeError] = []
        for at in range(0, len(payments), _CHUNK):
            chunk = payments[at : at + _CHUNK]
            outcomes += await asyncio.gather(*(self._outcome(payment, trace_id) for payment in chunk))
        return outcomes

    async def _outcome(self, payment: bytes | msgspec.Raw, trace_id: str | None) -> Answer | IntakeError:
        try:
            return await self._direct.decided(self._taken(payment, trace_id))
        except IntakeError as error:
            return error

    def _taken(self, payment: bytes | msgspec.Raw, trace_id: str | None) -> Taken:
        return take(PAYMENT, payment, trace_id=trace_id, future=self._bounds.future)

    def _explanation(self, answer: Answer) -> ExplanationAnswer | None:
        """Return why the score is what it is; None where the model that made it is not in service, or none did."""
        model = _model_of(self._roles(), _decided_decoder.decode(answer.decision).model_version)
        if model is None or not model.takes(answer.vector):
            return None
        values = answer.vector.values
        method, base, logit, contributions = model.explain(values)
        return ExplanationAnswer(
            method=method,
            base=base,
            logit=logit,
            contributions=[
                FeatureContribution(feature=name, value=value, contribution=contribution)
                for name, value, contribution in zip(
                    model.manifest.feature_names, values, contributions.tolist(), strict=True
                )
            ],
        )


def _is_explained(request: Request) -> bool:
    unknown = set(request.query_params) - {"explain"}
    wanted = request.query_params.get("explain", "false")
    if unknown or wanted not in {"true", "false"}:
        field = min(unknown, default="explain")
        raise InvalidEventError(
            "invalid_parameter",
            f"{request.url.query} is not understood",
            field=field,
            hint="Send explain=true, or no query.",
        )
    return wanted == "true"


def _payments(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """Return the payments of a JSON array, or of JSON Lines; raises MalformedError."""
    if body.lstrip()[:1] != b"[":
        return [line for line in body.splitlines() if line.strip()]
    try:
        return _array_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error


def _item(index: int, outcome: Answer | IntakeError) -> BatchItem:
    if isinstance(outcome, IntakeError):
        problem = outcome.problem
        place = f"[{index}]" + (f".{problem.field}" if problem.field else "")
        return BatchItem(index=index, status=outcome.status, error=msgspec.structs.replace(problem, field=place))
    # Its own bytes, not decoded and encoded again.
    decision = cast("ScoreAnswer", msgspec.Raw(answer_body(outcome)))
    return BatchItem(index=index, status=HTTPStatus.OK, decision=decision)


def _model_of(roles: Roles[ScoringModel], version: int) -> ScoringModel | None:
    canary = roles.canary.model if roles.canary else None
    models = [model for model in (roles.champion, canary, *roles.challengers) if model is not None]
    return next((model for model in models if model.manifest.model_version == version), None)
