"""Items and users over REST: what was written, page by page, and what is answered when there is nothing."""

import asyncio
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
from msgspec import to_builtins

from services.scoring.recommendations.catalogue_endpoints import CATALOGUE_SCHEMAS, catalogue_routes
from shared.contracts import codec
from shared.intake.http import DescribedApi
from shared.recommendation.history import profile_key
from shared.runtime import metrics
from shared.runtime.clock import ManualClock
from shared.store.base import StoreUnavailableError
from shared.store.memory import MemoryStore
from tests.events import START
from tests.unit.features.shoppers import user
from tests.unit.scoring.recommendations.catalogue_scene import catalogue_of, item

IDS = ["a/b c", "item-1", "item-2", "item-3", "ü%"]


class Shop:
    """The endpoints over a small catalogue, and a store."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore(ManualClock(START))
        catalogue = catalogue_of(
            *(item(item_id, categories=[f"of {item_id}"]) for item_id in IDS),
            item("gone"),
            item("gone", is_deleted=True),
        )
        self.app = DescribedApi(schemas=CATALOGUE_SCHEMAS, title="test", description="")
        catalogue_routes(self.app, catalogue, self.store)

    def get(self, path: str) -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                return await client.get(path)

        return asyncio.run(answer())


@pytest.mark.parametrize("item_id", IDS)
def test_an_item_is_shown_as_it_was_put(item_id: str) -> None:
    answer = Shop().get(f"/v1/items/{quote(item_id, safe='')}")
    assert (answer.status_code, answer.json()) == (200, to_builtins(item(item_id, categories=[f"of {item_id}"])))


@pytest.mark.parametrize("item_id", ["never seen", "gone", ""])
def test_an_item_that_is_not_there_is_not_found(item_id: str) -> None:
    answer = Shop().get(f"/v1/items/{item_id}")
    assert answer.status_code == 404
    assert "no such item" in answer.json()["error"]["message"]


@pytest.mark.parametrize("n", [1, 2, 5, 1_000])
def test_following_the_cursor_shows_every_item_once(n: int) -> None:
    shop, shown, query = Shop(), [], f"n={n}"
    while query:
        page = shop.get(f"/v1/items?{query}").json()
        assert 1 <= len(page["items"]) <= n
        shown += [entry["item_id"] for entry in page["items"]]
        query = f"n={n}&cursor={quote(page['cursor'], safe='')}" if page["cursor"] is not None else ""
    assert shown == IDS


@pytest.mark.parametrize(
    ("query", "field"), [("n=0", "n"), ("n=1001", "n"), ("n=many", "n"), ("cursor=", "cursor"), ("page=2", "page")]
)
def test_a_wrong_parameter_is_named(query: str, field: str) -> None:
    answer = Shop().get(f"/v1/items?{query}")
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    assert answer.json()["error"]["hint"]


def test_a_user_is_shown_as_it_was_put_and_not_once_it_was_deleted() -> None:
    shop = Shop()
    assert shop.get("/v1/users/u1").status_code == 404
    known, deleted = user(attributes={"country": "DE"}), user(after=timedelta(1), is_deleted=True)
    shop.store.put(profile_key("u1"), codec.encode(known), expire_after=None)
    assert shop.get("/v1/users/u1").json() == to_builtins(known)
    shop.store.put(profile_key("u1"), codec.encode(deleted), expire_after=None)
    assert shop.get("/v1/users/u1").status_code == 404


def test_what_cannot_be_read_is_nothing_that_is_known_and_is_counted() -> None:
    shop = Shop()
    before = metrics.UNREADABLE_PROFILES._value.get()
    shop.store.put(profile_key("u1"), b'{"user_id":7}', expire_after=None)
    assert shop.get("/v1/users/u1").status_code == 404
    assert metrics.UNREADABLE_PROFILES._value.get() == before + 1


def test_a_store_that_is_away_is_told() -> None:
    class Away(MemoryStore):
        def append_and_read(self, *_: object, **__: object) -> list[bytes]:
            raise StoreUnavailableError("Redis does not answer")

    answer = Shop(Away(ManualClock(START))).get("/v1/users/u1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "Redis does not answer" in answer.json()["error"]["message"]
