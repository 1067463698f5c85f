"""Load for a platform that is being watched: everything that happens in production, small, and all the time."""

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from services.local.demo.history import HistoryFeed
from services.local.demo.ledger import Ledger
from services.local.demo.posting import post
from services.local.demo.shop_history import post_interactions, post_shop
from services.local.demo.traffic import LiveTraffic
from services.local.model_request import request_training
from services.local.platform import Platform
from services.local.simulation.shop_world import ShopConfig
from services.local.simulation.shoppers import Shoppers
from services.local.simulation.simulator import Simulator, SimulatorConfig
from shared.bus.base import Outgoing
from shared.contracts.topics import INTERACTIONS, TRANSACTIONS
from shared.models.manifest import MODEL_NAME, RECOMMENDATION
from shared.runtime.clock import SystemClock

HISTORY_PAYMENTS = 4_000
PAYMENTS_PER_SECOND = 40
VISITS = 20
BATCH = 500
SETTINGS = {
    "HEADRACE_PARITY_INTERVAL_SECONDS": "2",
    "HEADRACE_TRAINING_LABEL_DELAY_DAYS": "0.45",
    "HEADRACE_TRAINING_ROWS_MIN": "200",
    "HEADRACE_TRAINING_FAMILIES": "logistic_l2",
    "HEADRACE_TRAINING_SEARCH_SECONDS": "0",
    "HEADRACE_TRAINING_SLICES": "1",
    "HEADRACE_TRAINING_FOLDS": "1",
    "HEADRACE_TRAINING_JOBS": "1",
    "HEADRACE_TRAINING_BLEND_SECONDS": "1",
    "HEADRACE_TRAINING_ARCHIVE_LINGER_SECONDS": "0.5",
    "HEADRACE_TRAINING_INTERVAL_SECONDS_MIN": "0",
    "HEADRACE_TRAINING_LATENCY_MICROSECONDS_MAX": "1000000",
    "HEADRACE_TRAINING_CALIBRATION_ERROR_MAX": "1",
    "HEADRACE_TRAINING_INTERACTIONS_MIN": "200",
    "HEADRACE_TRAINING_SHOPPERS_MIN": "10",
    "HEADRACE_TRAINING_ROLLOUT_INTERVAL_SECONDS": "1",
    "HEADRACE_DRIFT_LABEL_DELAY_DAYS": "0.45",
    "HEADRACE_DRIFT_CHECKPOINT_SECONDS": "1",
    "HEADRACE_DRIFT_CLICK_WINDOW_SECONDS": "2",
    "HEADRACE_DRIFT_BASELINE_LISTS": "20",
    "HEADRACE_DRIFT_BASELINE_HOURS": "0",
}
_WORLD = SimulatorConfig(
    cards=200, merchants=200, cards_compromised_daily=0.02, label_delay=timedelta(hours=10), genuine_labelled_share=0.01
)


class Load:
    """What callers, shops and producers do to a running platform."""

    def __init__(self, platform: Platform) -> None:
        """Describe the load; nothing is sent yet."""
        self._platform = platform
        self._clock = SystemClock()
        self._simulator = Simulator(_WORLD)
        self._ledger = Ledger()
        opened = (datetime.now(UTC) - timedelta(days=14)).replace(hour=0, minute=0, second=0, microsecond=0)
        self._shoppers = Shoppers(ShopConfig(items=60, categories=4, shoppers=150, start=opened))
        self._visitors = itertools.cycle(self._shoppers.world.user_ids)
        self._numbers = itertools.count()

    def feed_history(self) -> None:
        """Post payments with their labels, a shop, and what its shoppers did."""
        with self._client("ingest") as ingest:
            post_shop(ingest, self._shoppers, batch=BATCH)
            post_interactions(ingest, self._shoppers, datetime.now(UTC), batch=BATCH, advanced=lambda _: None)
            feed = HistoryFeed(ingest, self._ledger, self._clock)
            feed.post(self._simulator, payments=HISTORY_PAYMENTS, batch=BATCH, advanced=lambda _: None)

    def train(self) -> None:
        """Ask for a model of payments and one of a shop."""
        for name in (MODEL_NAME, RECOMMENDATION):
            request_training(self._platform.bus(), self._clock, requested_by="test", reason="load", model_name=name)

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Let payments stream until the end of the block."""
        bus, rate = self._platform.bus(), PAYMENTS_PER_SECOND
        with closing(LiveTraffic(bus, self._simulator, self._ledger, self._clock, payments_per_second=rate)) as traffic:
            yield
            assert traffic.failure is None

    def visit(self) -> None:
        """Let some shoppers come, look at their lists, and click; and one of whom nothing is known."""
        with self._client("scoring") as scoring, self._client("ingest") as ingest:
            for user_id in itertools.islice(self._visitors, VISITS):
                answer = scoring.get(f"/v1/recommendations/{user_id}").raise_for_status().json()
                _, done = self._shoppers.respond(
                    user_id,
                    [item["item_id"] for item in answer["items"]],
                    self._clock.now(),
                    recommendation_id=answer["recommendation_id"],
                )
                post(ingest, INTERACTIONS, done)
            scoring.get("/v1/recommendations/nobody-knows-them").raise_for_status()

    def misbehave(self) -> None:
        """Ask for a decision, send the payment twice, one too late, one that is none, and call what is not there."""
        payment = self._payment()
        with self._client("scoring") as scoring, self._client("ingest") as ingest:
            _expect(200, scoring.post("/v1/score", json=payment))
            _expect(404, scoring.get("/v1/no-such-thing"))
            late = {**self._payment(), "card_id": payment["card_id"], "occurred_at": "2025-12-01T12:00:00Z"}
            for event in (payment, payment, late):
                _expect(202, ingest.post("/v1/transactions", json=event))
            _expect(422, ingest.post("/v1/transactions", json={"card_id": "none"}))
        with closing(self._platform.bus().publisher()) as publisher:
            publisher.send(Outgoing(TRANSACTIONS.name, b"card", b"no JSON")).result(timeout=30)

    def _payment(self) -> dict[str, Any]:
        number = next(self._numbers)
        return {
            "transaction_id": f"odd-{number}",
            "card_id": f"odd-card-{number}",
            "merchant_id": "odd-shop",
            "amount": 1_999,
            "currency": "EUR",
            "occurred_at": datetime.now(UTC).isoformat(),
            "channel": "ecommerce",
            "country": "DE",
            "mcc": "5411",
        }

    def _client(self, service: str) -> httpx.Client:
        return httpx.Client(base_url=self._platform.addresses.services[service], timeout=30.0)


def _expect(status: int, answer: httpx.Response) -> None:
    assert answer.status_code == status, (answer.request.url, answer.text)
