"""REST: questions for items, answered before the router sees them, or behind it."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope

from services.scoring.hot_api import Answering, HotRoute
from services.scoring.recommendations.asked import Asked
from services.scoring.recommendations.openapi import FOR_USER, POPULAR, POSTED, RANK, SIMILAR, TRENDING
from services.scoring.recommendations.questions import (
    asked_for_page,
    asked_for_user,
    asked_in,
    identifier,
    ranking_in,
)
from services.scoring.recommendations.serving import Recommendations
from shared.intake.http import received, trace_id_of
from shared.intake.problems import InvalidEventError

PATH = "/v1/recommendations"
RANK_PATH = "/v1/rank"

_encoder = msgspec.json.Encoder()


class RecommendationEndpoints:
    """The paths, and what each asks."""

    def __init__(self, recommendations: Recommendations, *, body_bytes_max: int) -> None:
        self._recommendations = recommendations
        self._body_bytes_max = body_bytes_max

    def hot_routes(self) -> Sequence[HotRoute]:
        """Return what a shop's every page asks."""
        return [
            HotRoute("GET", PATH, self.for_user, is_below=True),
            HotRoute("POST", PATH, self.posted),
            HotRoute("POST", RANK_PATH, self.ranked),
        ]

    def add_to(self, app: FastAPI) -> None:
        """Add the paths to an app whose OpenAPI document has RECOMMENDATION_SCHEMAS."""
        app.get(f"{PATH}/{{user_id}}", **FOR_USER)(_behind_router(self.for_user))
        app.post(PATH, **POSTED)(_behind_router(self.posted))
        app.get("/v1/items/{item_id:path}/similar", **SIMILAR)(_behind_router(self.similar))
        app.get("/v1/popular", **POPULAR)(_behind_router(self.popular))
        app.get("/v1/trending", **TRENDING)(_behind_router(self.trending))
        app.post(RANK_PATH, **RANK)(_behind_router(self.ranked))

    async def for_user(self, scope: Scope, receive: Receive) -> bytes:
        """Answer what a shopper should see."""
        del receive
        user_id = identifier(scope["path"].removeprefix(f"{PATH}/"), "user_id")
        return await self._answer(scope, asked_for_user(scope["query_string"])._replace(user_id=user_id))

    async def posted(self, scope: Scope, receive: Receive) -> bytes:
        """Answer what anybody should see."""
        return await self._answer(scope, asked_in(await self._body(scope, receive)))

    async def similar(self, scope: Scope, receive: Receive) -> bytes:
        """Answer what is like an item."""
        del receive
        item_id = identifier(scope["path_params"]["item_id"], "item_id")
        asked = asked_for_page(scope["query_string"], "similar")
        return await self._answer(scope, asked._replace(item_ids=(item_id,)))

    async def popular(self, scope: Scope, receive: Receive) -> bytes:
        """Answer what is popular."""
        del receive
        return await self._answer(scope, asked_for_page(scope["query_string"], "popular"))

    async def trending(self, scope: Scope, receive: Receive) -> bytes:
        """Answer what is asked for more than usual."""
        del receive
        return await self._answer(scope, asked_for_page(scope["query_string"], "trending"))

    async def ranked(self, scope: Scope, receive: Receive) -> bytes:
        """Answer the caller's own items in order."""
        return await self._answer(scope, ranking_in(await self._body(scope, receive)))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        if scope["query_string"]:
            told = f"{scope['query_string'].decode('latin-1')} is not understood"
            raise InvalidEventError("invalid_parameter", told, hint="Send it in the body, and no query.")
        return await received(scope["path"], receive, self._body_bytes_max)

    async def _answer(self, scope: Scope, asked: Asked) -> bytes:
        answer = await self._recommendations.answer(asked, trace_id=trace_id_of(scope))
        return _encoder.encode(answer)


def _behind_router(answering: Answering) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return Response(await answering(request.scope, request.receive), media_type="application/json")

    return endpoint
