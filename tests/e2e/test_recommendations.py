"""A click on real servers: taken by ingest, in the history by features, in the next answer by scoring."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.local.platform import Platform
from shared.contracts import codec
from shared.contracts.shopping import Impression
from shared.contracts.topics import IMPRESSIONS
from tests.unit.scoring.recommendations.recommending_scene import GOODS, announce, register
from tests.unit.scoring.scoring_scene import wait_until

pytestmark = pytest.mark.servers

SERVICES = ["ingest", "features", "scoring"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("platform"), services=SERVICES) as running:
        running.start(lambda _: None)
        announce(running.bus(), "promoted", register(running.home))
        yield running


class Shop:
    """A shop's calls."""

    def __init__(self, platform: Platform) -> None:
        services = platform.addresses.services
        self._ingest, self._scoring = (httpx.Client(base_url=services[name]) for name in ("ingest", "scoring"))

    def recommended(self, user_id: str, **parameters: Any) -> Any:
        answer = self._scoring.get(f"/v1/recommendations/{user_id}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def shown(self, user_id: str) -> list[str]:
        return [each["item_id"] for each in self.recommended(user_id)["items"]]

    def did(self, user_id: str, kind: str, item_id: str, **fields: Any) -> None:
        body = {"user_id": user_id, "item_id": item_id, "kind": kind, "occurred_at": datetime.now(UTC).isoformat()}
        assert self._ingest.post("/v1/interactions", json={**body, **fields}).status_code == 202

    def put(self, path: str, **fields: Any) -> None:
        assert self._ingest.put(path, json=fields).status_code == 202

    def delete(self, path: str) -> None:
        assert self._ingest.delete(path).status_code == 202


def test_a_click_a_purchase_and_the_catalogue_change_the_next_answer(platform: Platform) -> None:
    shop = Shop(platform)
    wait_until(lambda: shop.recommended("ann")["model_version"] == 1, "the model is in service")
    first = shop.recommended("ann")
    assert [each["item_id"] for each in first["items"]] == list(GOODS)
    shop.did("ann", "view", "boots", recommendation_id=first["recommendation_id"])
    wait_until(lambda: shop.shown("ann")[0] == "socks", "the last click counts")
    assert "boots" not in shop.shown("ann")
    shop.did("ann", "purchase", "socks")
    wait_until(lambda: "socks" not in shop.shown("ann"), "what was bought is not shown")
    shop.put("/v1/users/bea", attributes={"season": "winter"})
    wait_until(lambda: shop.shown("bea")[0] == "gloves", "the segment counts")
    shop.put("/v1/items/gloves", is_available=False)
    shop.delete("/v1/items/scarf")
    wait_until(lambda: not {"gloves", "scarf"} & set(shop.shown("bea")), "the catalogue counts")
    shop.did("bea", "view", "scarf")
    wait_until(lambda: shop.shown("bea")[0] == "tent", "what is gone still tells what she likes")
    assert "scarf" not in shop.shown("bea")
    records = platform.bus().tail([IMPRESSIONS.name], start="oldest")
    found: list[Impression] = []

    def is_on_record() -> bool:
        found.extend(codec.decode(Impression, record.value or b"") for record in records.poll(wait_seconds=0.1))
        return first["recommendation_id"] in {each.recommendation_id for each in found}

    wait_until(is_on_record, "the first list is on record")
