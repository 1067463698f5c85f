"""Shoppers who come now: each asks for a list, may click and buy of it, and looks around, at an even rate."""

from typing import NamedTuple

import httpx
import msgspec
import numpy as np
from msgspec.structs import replace

from services.local.simulation.sent_payments import Pace
from services.local.simulation.shoppers import Shoppers
from shared.contracts.shopping import Interaction
from shared.runtime.clock import Clock

LIST_ITEMS = 10


class _Recommended(msgspec.Struct):
    item_id: str


class _List(msgspec.Struct):
    """What of an answer a shopper sees."""

    recommendation_id: str
    items: list[_Recommended]


class Visit(NamedTuple):
    """What came of one visit; problem: why the shopper was shown nothing, or None."""

    interactions: list[Interaction]
    is_clicked: bool
    problem: str | None


class LiveVisits:
    """Shoppers in some order, one after the other, everybody again and again."""

    def __init__(self, shoppers: Shoppers, scoring: httpx.Client, clock: Clock, *, visits_per_second: float) -> None:
        """Open the shop's door.

        scoring: its base URL is that of scoring.
        """
        self._shoppers = shoppers
        self._scoring = scoring
        self._clock = clock
        self._pace = Pace(clock, visits_per_second)
        self._run = f"{clock.now():%Y%m%dT%H%M%S%f}"
        # Another run has another order.
        self._random = np.random.default_rng()
        self._waiting: list[str] = []

    def due(self) -> int:
        """Return how many shoppers have come since it was asked before."""
        return self._pace.due()

    def visit(self) -> Visit:
        """Let the next shopper ask, see and act; one who is shown nothing looks around all the same."""
        user_id = self._next_shopper()
        shown, recommendation_id, problem = self._ask(user_id)
        clicked, interactions = self._shoppers.respond(
            user_id, shown, self._clock.now(), recommendation_id=recommendation_id
        )
        # A run counts its visits from the beginning.
        named = [replace(one, session_id=f"{one.session_id}-{self._run}") for one in interactions]
        return Visit(named, bool(clicked), problem)

    def _next_shopper(self) -> str:
        if not self._waiting:
            self._waiting = self._random.permutation(np.array(self._shoppers.world.user_ids)).tolist()
        return self._waiting.pop()

    def _ask(self, user_id: str) -> tuple[list[str], str | None, str | None]:
        """Return the items shown, the id that a click on them names, and what went wrong."""
        try:
            response = self._scoring.get(f"/v1/recommendations/{user_id}", params={"n": LIST_ITEMS})
            answer = msgspec.json.decode(response.raise_for_status().content, type=_List)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            return [], None, str(error) or type(error).__name__
        return [item.item_id for item in answer.items], answer.recommendation_id or None, None
