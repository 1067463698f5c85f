"""The demo's shop: what it posts and asks, what it counts, and when its story has gone well."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from services.local.demo.plan import DEMO_PLAN, DemoError
from services.local.demo.shop_history import post_interactions, post_shop
from services.local.demo.shop_ledger import Answered, ShopLedger, answers_of, by_model
from services.local.demo.shop_show import ShopShow, ShopStory
from services.local.demo.shop_traffic import LIST_ITEMS, ShopTraffic
from services.local.demo.summary import check_shop
from services.local.demo.watch import News, Seen
from services.local.simulation.shop_world import ShopConfig
from services.local.simulation.shoppers import Shoppers
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.runtime.clock import SystemClock

CONFIG = ShopConfig(seed=3, items=60, categories=4, shoppers=40, start=datetime.now(UTC) - timedelta(days=3))
ENVELOPE: dict[str, Any] = {
    "occurred_at": CONFIG.start,
    "trace_id": "0" * 32,
    "event_id": "0198c0de-0000-7000-8000-000000000000",
    "model_name": "recommendation",
}
SECONDS_MAX = 10.0


class Shop:
    """Answers like ingest and scoring: offers what a shopper has not touched, the items in a fixed order."""

    def __init__(self, *, forgets: bool = False, degraded: Sequence[str] = ()) -> None:
        self.posted: dict[str, list[dict[str, Any]]] = {}
        self.lists: dict[str, list[str]] = {}
        self._touched: dict[str, set[str]] = {}
        self._forgets = forgets
        self._degraded = degraded
        self._lock = threading.Lock()

    def client(self, service: str) -> httpx.Client:
        return httpx.Client(base_url=f"http://{service}", transport=httpx.MockTransport(self))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            if request.method == "GET":
                assert int(request.url.params["n"]) == LIST_ITEMS
                return self._recommend(request.url.path.rpartition("/")[2])
            events = msgspec.json.decode(request.content)["events"]
            self.posted.setdefault(request.url.path, []).extend(events)
            for event in events:
                if "item_id" in event and "user_id" in event and not self._forgets:
                    self._touched.setdefault(event["user_id"], set()).add(event["item_id"])
            return httpx.Response(202, json={"accepted": len(events), "rejected": 0, "items": []})

    def _recommend(self, user_id: str) -> httpx.Response:
        offered = [item["item_id"] for item in self.posted["/v1/items/batch"]]
        shown = [item_id for item_id in offered if item_id not in self._touched.get(user_id, set())][:LIST_ITEMS]
        recommendation_id = f"list-{len(self.lists)}"
        self.lists[recommendation_id] = shown
        items = [{"item_id": item_id, "score": 1.0} for item_id in shown]
        return httpx.Response(
            200,
            json={
                "recommendation_id": recommendation_id,
                "items": items,
                "model_version": 1,
                "degraded": self._degraded,
            },
        )


@contextmanager
def visited(shop: Shop, shoppers: Shoppers, ledger: ShopLedger) -> Iterator[ShopTraffic]:
    """Let shoppers come, as fast as they can."""
    post_shop(shop.client("ingest"), shoppers, batch=500)
    with closing(ShopTraffic(shop.client, shoppers, ledger, SystemClock(), visits_per_second=1_000)) as traffic:
        yield traffic


def wait_until(condition: Callable[[], bool]) -> None:
    clock, pause = SystemClock(), threading.Event()
    deadline = clock.monotonic_seconds() + SECONDS_MAX
    while not condition():
        assert clock.monotonic_seconds() < deadline
        pause.wait(0.01)


def test_history_is_the_shop_then_what_happened_up_to_now_once_and_in_order() -> None:
    shop, shoppers, advanced = Shop(), Shoppers(CONFIG), list[int]()
    client, until = shop.client("ingest"), CONFIG.start + timedelta(days=2)
    post_shop(client, shoppers, batch=7)
    count = post_interactions(client, shoppers, until, batch=10, advanced=advanced.append)
    assert len(shop.posted["/v1/items/batch"]) == len(shoppers.items())
    assert len(shop.posted["/v1/users/batch"]) == CONFIG.shoppers
    happened = itertools.takewhile(lambda made: made.occurred_at < until, Shoppers(CONFIG).interactions())
    posted = [event["event_id"] for event in shop.posted["/v1/interactions/batch"]]
    assert posted == [made.event_id for made in happened]
    assert count == sum(advanced) == len(posted) > 20


def test_shoppers_answer_the_lists_they_are_shown_and_only_clicks_name_them() -> None:
    shop, shoppers, ledger = Shop(), Shoppers(CONFIG), ShopLedger()
    with visited(shop, shoppers, ledger) as traffic:
        wait_until(lambda: len(ledger.answered()) >= 150)
    assert traffic.failure is None
    clicks = [event for event in shop.posted["/v1/interactions/batch"] if event.get("recommendation_id")]
    assert clicks
    assert all(event["item_id"] in shop.lists[event["recommendation_id"]] for event in clicks)
    clicked_lists = {event["recommendation_id"] for event in clicks}
    assert sum(one.is_clicked for one in ledger.answered()) == len(clicked_lists)
    assert answers_of(ledger.answered()).bought_shown == ledger.unnamed == 0


@pytest.mark.parametrize("degraded", [(), ("history",)])
def test_what_was_bought_may_be_shown_only_where_the_answer_says_that_it_did_not_know(
    degraded: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.local.demo.shop_traffic._FOLLOWED_EVERY_SECONDS", SECONDS_MAX)
    ledger = ShopLedger()
    with visited(Shop(forgets=True, degraded=degraded), Shoppers(CONFIG), ledger):
        wait_until(lambda: len(ledger.answered()) >= 300)
    answers = answers_of(ledger.answered())
    assert (answers.bought_shown > 0, answers.blind == answers.lists) == (not degraded, bool(degraded))


def test_the_new_collection_is_on_sale_before_anybody_asks_for_it() -> None:
    shop, shoppers, ledger = Shop(), Shoppers(CONFIG), ShopLedger()
    with visited(shop, shoppers, ledger) as traffic:
        wait_until(lambda: len(ledger.answered()) >= 20)
        traffic.change_taste()
        wait_until(lambda: sum(one.changed for one in ledger.answered()) >= 20)
    collection = {item.item_id for item in shoppers.items(collection=True)}
    assert collection <= {item["item_id"] for item in shop.posted["/v1/items/batch"]}
    assert collection & {event["item_id"] for event in shop.posted["/v1/interactions/batch"]}
    assert not ledger.answered()[0].changed


def test_a_click_is_followed_until_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.local.demo.shop_traffic._FOLLOWED_EVERY_SECONDS", 0.0)
    ledger = ShopLedger()
    with visited(Shop(), Shoppers(CONFIG), ledger):
        wait_until(lambda: ledger.told_ms() is not None)


def test_a_click_that_never_tells_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.local.demo.shop_traffic._FOLLOWED_EVERY_SECONDS", 0.0)
    monkeypatch.setattr("services.local.demo.shop_traffic._FOLLOWED_SECONDS_MAX", 0.05)
    with visited(Shop(forgets=True), Shoppers(CONFIG), ShopLedger()) as traffic:
        wait_until(lambda: traffic.failure is not None)
    assert "was still offered what they had clicked" in (traffic.failure or "")


def test_an_answer_that_is_none_fails_the_demo_with_its_reason() -> None:
    class Broken(Shop):
        def _recommend(self, user_id: str) -> httpx.Response:
            return httpx.Response(503, json={"code": "away", "message": f"nothing for {user_id}"})

    with visited(Broken(), Shoppers(CONFIG), ShopLedger()) as traffic:
        wait_until(lambda: traffic.failure is not None)
    assert "503" in (traffic.failure or "")


def answered(clicked: int, lists: int, *, changed: bool, version: int, bought_shown: int = 0) -> list[Answered]:
    return [
        Answered(1.0, 2.0, version, changed, number < clicked, is_blind=False, bought_shown=bought_shown)
        for number in range(lists)
    ]


def ledger_of(before: int, during: int, after: int, *, bought_shown: int = 0, is_named: bool = True) -> ShopLedger:
    """Return a ledger with so many of a hundred lists clicked in each stretch."""
    ledger = ShopLedger()
    stretches = (
        answered(before, 100, changed=False, version=1),
        answered(during, 100, changed=True, version=1),
        answered(after, 100, changed=True, version=2, bought_shown=bought_shown),
    )
    for one in itertools.chain(*stretches):
        ledger.answer(one, is_named=is_named)
    return ledger


def model_event(action: str, version: int = 2) -> ModelEvent:
    return ModelEvent(
        **ENVELOPE,
        model_version=version,
        action=action,  # type: ignore[arg-type]
        model_digest="0" * 64,
        feature_version="0" * 64,
        actor="training",
        reason="not surely better",
        previous_digest=None,
    )


def request() -> RetrainingRequest:
    return RetrainingRequest(**ENVELOPE, requested_by="drift", reason="click-through has fallen")


def story(action: str = "promoted") -> ShopStory:
    return ShopStory(10.0, 1, Seen(request(), 15.0), Seen(model_event(action), 24.0))


def test_a_shop_whose_click_through_fell_and_recovered_has_gone_well() -> None:
    ledger = ledger_of(50, 20, 45)
    check_shop(ledger, story(), DEMO_PLAN)
    stretches = by_model(ledger.answered())
    assert [(changed, version) for changed, version, _ in stretches] == [(False, 1), (True, 1), (True, 2)]
    assert [answers_of(part).click_through for _, _, part in stretches] == [0.5, 0.2, 0.45]


def test_a_refusal_is_an_honest_end_of_the_story() -> None:
    check_shop(ledger_of(50, 20, 20), story("refused"), DEMO_PLAN)


@pytest.mark.parametrize(
    ("ledger", "told"),
    [
        (ledger_of(50, 48, 60), "that is no fall"),
        (ledger_of(50, 20, 22), "with the new recommender"),
        (ledger_of(50, 20, 45, bought_shown=1), "100 items were shown to who had bought them"),
        (ledger_of(50, 20, 45, is_named=False), "300 had no recommendation_id"),
    ],
)
def test_a_shop_that_did_not_do_what_it_should_has_failed(ledger: ShopLedger, told: str) -> None:
    with pytest.raises(DemoError, match=told):
        check_shop(ledger, story(), DEMO_PLAN)


def test_the_story_is_over_when_the_new_recommender_has_been_clicked_long_enough_or_was_refused() -> None:
    shop, shoppers, news, ledger = Shop(), Shoppers(CONFIG), News(), ledger_of(50, 20, 0)
    with visited(shop, shoppers, ledger) as traffic:
        show = ShopShow(DEMO_PLAN, ledger, news, traffic, SystemClock())
        wait_until(lambda: ledger.newest_version == 1)
        show.change_taste()
        now = SystemClock().monotonic_seconds() + 1
        assert "drift" in (show.status() or "")
        news.events.append(Seen(request(), now))
        assert "waiting for a new recommender" in (show.status() or "")
        news.events.append(Seen(model_event("promoted"), now))
        assert "do shoppers click again" in (show.status() or "")
        for one in answered(90, DEMO_PLAN.recovered_lists, changed=True, version=2):
            ledger.answer(one, is_named=True)
        assert show.status() is None
        assert show.story().outcome.event.action == "promoted"
        row = show.row(7)
    assert (row.second, row.bought_shown) == (7, 0)
    assert row.lists > 300
