"""Live shoppers: threads in which they come at an even rate, ask what to look at, click, and buy at times."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import httpx
import msgspec
import numpy as np

from services.local.demo.plan import DemoError
from services.local.demo.posting import post
from services.local.demo.shop_ledger import Answered, ShopLedger
from services.local.simulation.shoppers import Shoppers
from shared.contracts.topics import INTERACTIONS, ITEMS
from shared.runtime.clock import Clock

LIST_ITEMS = 10
VISITED_AT_ONCE = 4
"""Threads; each has shoppers of its own, so that what one of them does keeps its order."""

_TICK_SECONDS = 0.005
_STOP_SECONDS_MAX = 30.0
_FOLLOWED_EVERY_SECONDS = 1.0
_FOLLOWED_SECONDS_MAX = 10.0
_ASKED_AGAIN_SECONDS = 0.005


class _Recommended(msgspec.Struct):
    item_id: str


class _List(msgspec.Struct):
    """What of an answer the demo reads."""

    recommendation_id: str
    items: list[_Recommended]
    model_version: int
    degraded: list[str]


class _Asked(NamedTuple):
    shown: list[str]
    recommendation_id: str
    model_version: int
    is_blind: bool
    at: float
    latency_ms: float


class ShopTraffic:
    """Visits, `visits_per_second` by the wall clock: each asks for a list, clicks, looks around, and buys at times.

    About once a second a shopper turns the page as soon as ingest has taken their click, and again until what they
    turned to is no longer offered: that is how soon a click tells.
    """

    def __init__(
        self,
        client_of: Callable[[str], httpx.Client],
        shoppers: Shoppers,
        ledger: ShopLedger,
        clock: Clock,
        *,
        visits_per_second: float,
    ) -> None:
        """Start at once.

        client_of: opens a client whose base URL is the named service's.
        """
        self.failure: str | None = None
        self._shoppers = shoppers
        self._ledger = ledger
        self._clock = clock
        self._rate = visits_per_second
        self._scoring, self._ingest = client_of("scoring"), client_of("ingest")
        self._followed_at = clock.monotonic_seconds()
        self._has_changed = False
        self._simulating = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"demo-shoppers-{number}")
            for number in range(VISITED_AT_ONCE)
        ]
        for thread in self._threads:
            thread.start()

    def change_taste(self) -> None:
        """Let the shop offer its new collection, and some shoppers take to it and to other categories."""
        post(self._ingest, ITEMS, self._shoppers.items(collection=True))
        with self._simulating:
            self._has_changed = True
            self._shoppers.change_taste(self._clock.now())

    def close(self) -> None:
        """Let nobody come any more, once who is there has left."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_STOP_SECONDS_MAX)
        self._scoring.close()
        self._ingest.close()

    def _run(self, number: int) -> None:
        world = self._shoppers.world
        visitors = _in_turn(world.user_ids[number::VISITED_AT_ONCE], [self._shoppers.config.seed, number])
        started = self._clock.monotonic_seconds()
        visits = 0
        while not self._stop.wait(_TICK_SECONDS):
            due = int((self._clock.monotonic_seconds() - started) * self._rate / VISITED_AT_ONCE)
            try:
                while visits < due and not self._stop.is_set():
                    self._visit(next(visitors))
                    visits += 1
            except DemoError as error:
                self.failure = str(error)
                return

    def _visit(self, user_id: str) -> None:
        asked = self._ask(user_id)
        touched = self._respond(user_id, asked)
        now = self._clock.monotonic_seconds()
        if touched & set(asked.shown) and now - self._followed_at >= _FOLLOWED_EVERY_SECONDS:
            self._followed_at = now
            self._respond(user_id, self._asked_until_told(user_id, touched))

    def _asked_until_told(self, user_id: str, touched: set[str]) -> _Asked:
        """Turn the page until nothing of `touched`, which ingest has just taken, is in it."""
        accepted_at = self._clock.monotonic_seconds()
        while touched & set((asked := self._ask(user_id)).shown):
            if asked.at - accepted_at > _FOLLOWED_SECONDS_MAX:
                raise DemoError(
                    f"{user_id} was still offered what they had clicked {_FOLLOWED_SECONDS_MAX:.0f} s after ingest "
                    "took the click"
                )
            self._stop.wait(_ASKED_AGAIN_SECONDS)
        self._ledger.tell((self._clock.monotonic_seconds() - accepted_at) * 1000)
        return asked

    def _ask(self, user_id: str) -> _Asked:
        asked_at = self._clock.monotonic_seconds()
        try:
            response = self._scoring.get(f"/v1/recommendations/{user_id}", params={"n": LIST_ITEMS})
            answer = msgspec.json.decode(response.raise_for_status().content, type=_List)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise DemoError(f"scoring recommended nothing to {user_id}: {error}") from error
        latency_ms = (self._clock.monotonic_seconds() - asked_at) * 1000
        shown = [item.item_id for item in answer.items]
        is_blind = "history" in answer.degraded
        return _Asked(shown, answer.recommendation_id, answer.model_version, is_blind, asked_at, latency_ms)

    def _respond(self, user_id: str, asked: _Asked) -> set[str]:
        """Let the shopper react to a list; return which items they turned to, once ingest knows."""
        with self._simulating:
            has_changed = self._has_changed
            bought_shown = 0 if asked.is_blind else len(self._shoppers.bought(user_id) & set(asked.shown))
            clicked, interactions = self._shoppers.respond(
                user_id, asked.shown, self._clock.now(), recommendation_id=asked.recommendation_id
            )
        answered = Answered(
            at=asked.at,
            latency_ms=asked.latency_ms,
            model_version=asked.model_version,
            changed=has_changed,
            is_clicked=len(clicked) > 0,
            is_blind=asked.is_blind,
            bought_shown=bought_shown,
        )
        self._ledger.answer(answered, is_named=bool(asked.recommendation_id))
        post(self._ingest, INTERACTIONS, interactions)
        return {interaction.item_id for interaction in interactions}


def _in_turn(user_ids: Sequence[str], seed: Sequence[int]) -> Iterator[str]:
    """Yield everybody in some order, again and again: nobody comes again before the platform can know."""
    return itertools.cycle(np.random.default_rng(seed).permutation(np.array(user_ids)).tolist())
