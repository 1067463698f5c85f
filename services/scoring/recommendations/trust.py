"""How far the interactions of a shopper count, by what Headrace decided about the shopper's payments."""

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple

from shared.recommendation.history import distrust_key
from shared.runtime import metrics
from shared.store.base import Store, StoreUnavailableError

log = logging.getLogger(__name__)

_KEYS_AT_ONCE = 1_000


class Judged(NamedTuple):
    """How much some shoppers count. trust: of those who count less than 1. is_complete: the store told of all."""

    trust: dict[str, float]
    is_complete: bool


class Trust:
    """Asks the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, user_ids: Collection[str]) -> Judged:
        """Return 1 less the fraud score of a declined payment for each shopper who has one.

        While the store is away everybody counts in full, which a metric counts by shopper.
        """
        asked = list(dict.fromkeys(user_ids))
        trust: dict[str, float] = {}
        for at in range(0, len(asked), _KEYS_AT_ONCE):
            some = asked[at : at + _KEYS_AT_ONCE]
            try:
                values = self._store.append_and_read([], [*map(distrust_key, some)], expire_after=timedelta())
            except StoreUnavailableError as error:
                metrics.UNJUDGED_SHOPPERS.inc(len(asked) - at)
                log.warning("interactions of %d shoppers count in full: %s", len(asked) - at, error)
                return Judged(trust, is_complete=False)
            trust |= {user: 1 - _score(value) for user, value in zip(some, values, strict=True) if value}
        return Judged(trust, is_complete=True)

    def reachable(self) -> bool:
        """Tell whether the store answers now; asks it."""
        return self._store.reachable()


def distrust_text(score: float | None) -> bytes:
    """Return what stands under a shopper's distrust_key; None: declined without a score, as by a list."""
    return f"{1.0 if score is None else score:.6f}".encode()


def _score(value: bytes) -> float:
    return min(1.0, max(0.0, float(value)))
