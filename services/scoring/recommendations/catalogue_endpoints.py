"""REST: what is known of an item and of a shopper, and a page of the catalogue."""

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException

from services.scoring.recommendations.catalogue import Catalogue
from services.scoring.recommendations.profiles import profile_of
from shared.contracts.fields import Identifier
from shared.contracts.shopping import Item, User
from shared.intake.http import REFERENCE, ErrorAnswer, described, json_answer
from shared.intake.problems import NotTakenError
from shared.intake.refusals import refused
from shared.recommendation.history import profile_key
from shared.store.base import Store, StoreUnavailableError

PAGE_ITEMS_MAX = 1_000
_PAGE_ITEMS = 100


class ItemPage(Struct, frozen=True, kw_only=True):
    """Some items of the catalogue, in the order of their ids."""

    items: list[Item]
    cursor: Annotated[str | None, Meta(description="Send it to get the next page; null with the last one.")]


class _PageAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a page."""

    n: Annotated[int, Meta(ge=1, le=PAGE_ITEMS_MAX, description="Items of the page.")] = _PAGE_ITEMS
    cursor: Annotated[Identifier | None, Meta(description="Of the page before; the first page has none.")] = None


_, CATALOGUE_SCHEMAS = msgspec.json.schema_components([Item, User, ItemPage, ErrorAnswer], ref_template=REFERENCE)
_PAGE_SCHEMA: dict[str, Any] = msgspec.json.schema(_PageAsked)["$defs"][_PageAsked.__name__]


def catalogue_routes(app: FastAPI, catalogue: Catalogue, store: Store) -> None:
    """Add GET /v1/items, /v1/items/{item_id} and /v1/users/{user_id} to an app whose document has CATALOGUE_SCHEMAS.

    An id may have slashes, so paths below an item's are to be added before.
    """

    async def show_items(request: Request) -> Response:
        asked = _page_asked(request)
        # One more than asked for tells whether there is another page.
        found = catalogue.page(after=asked.cursor or "", n=asked.n + 1)
        items = found[: asked.n]
        cursor = items[-1].item_id if len(found) > asked.n else None
        return json_answer(ItemPage(items=items, cursor=cursor), HTTPStatus.OK)

    async def show_item(request: Request) -> Response:
        item = catalogue.item(request.path_params["item_id"])
        if item is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such item in the catalogue")
        return json_answer(item, HTTPStatus.OK)

    def show_user(request: Request) -> Response:
        user = _stored_user(store, request.path_params["user_id"])
        if user is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "nothing is known of such a user")
        return json_answer(user, HTTPStatus.OK)

    app.get("/v1/items", tags=["catalogue"], **_SHOW_ITEMS)(show_items)
    app.get("/v1/items/{item_id:path}", tags=["catalogue"], **_SHOW_ITEM)(show_item)
    app.get("/v1/users/{user_id:path}", tags=["catalogue"], **_SHOW_USER)(show_user)


def _page_asked(request: Request) -> _PageAsked:
    try:
        return msgspec.convert(dict(request.query_params), _PageAsked, strict=False)
    except msgspec.ValidationError as error:
        raise refused(error, _PAGE_SCHEMA) from error


def _stored_user(store: Store, user_id: str) -> User | None:
    try:
        (value,) = store.append_and_read([], [profile_key(user_id)], expire_after=timedelta())
    except StoreUnavailableError as error:
        raise NotTakenError("store_unavailable", f"what is known of users cannot be read: {error}") from error
    return profile_of(value)


def _operation(
    operation_id: str, summary: str, answers: dict[int, tuple[str, type]], parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    return {"operation_id": operation_id, "summary": summary} | described(None, answers, parameters)


def _path_parameter(described_type: type, name: str) -> dict[str, Any]:
    schema = CATALOGUE_SCHEMAS[described_type.__name__]["properties"][name]
    return {"name": name, "in": "path", "required": True, "schema": schema}


_SHOW_ITEMS = _operation(
    "show_items",
    "Show a page of the catalogue",
    {200: ("The page.", ItemPage), 422: ("A parameter is wrong; the answer names it.", ErrorAnswer)},
    [{"name": name, "in": "query", "schema": schema} for name, schema in _PAGE_SCHEMA["properties"].items()],
)
_SHOW_ITEM = _operation(
    "show_item",
    "Show what is known of an item",
    {200: ("The item.", Item), 404: ("It is not in the catalogue.", ErrorAnswer)},
    [_path_parameter(Item, "item_id")],
)
_SHOW_USER = _operation(
    "show_user",
    "Show what is known of a shopper",
    {
        200: ("The shopper.", User),
        404: ("Nothing is known of such a user.", ErrorAnswer),
        503: ("Redis is away: retry after Retry-After seconds.", ErrorAnswer),
    },
    [_path_parameter(User, "user_id")],
)
