"""What the store knows of a shopper, in one round trip."""

import logging
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from services.scoring.recommendations.profiles import profile_of
from shared.contracts.shopping import User
from shared.recommendation.history import RECORD, Records, history_key, history_of, profile_key
from shared.runtime import metrics
from shared.store.base import AsyncStore, StoreTimeoutError, StoreUnavailableError

log = logging.getLogger(__name__)

_SLOW = metrics.HISTORY_MISSES.labels("slow")
_AWAY = metrics.HISTORY_MISSES.labels("away")
_UNREADABLE = metrics.HISTORY_MISSES.labels("unreadable")
_NO_RECORDS: Records = np.empty(0, dtype=RECORD)


class Shopper(NamedTuple):
    """A shopper's history, the latest first, and profile. is_known: the store told; otherwise both are missing."""

    records: Records = _NO_RECORDS
    user: User | None = None
    is_known: bool = True


NOBODY = Shopper()
"""Of whom nothing is known, nor asked."""


class ShopperReader:
    """Reads shoppers; for one event loop."""

    def __init__(self, store: AsyncStore, *, seconds_max: float) -> None:
        """Wire it; a shopper that the store does not give within `seconds_max` is served as an unknown one."""
        self._store = store
        self._seconds_max = seconds_max

    async def read(self, user_id: str) -> Shopper:
        """Return what is known of a shopper; nothing of one who was never seen."""
        keys = [history_key(user_id), profile_key(user_id)]
        try:
            history, profile = await self._store.append_and_read(
                [], keys, expire_after=timedelta(), seconds_max=self._seconds_max
            )
        except StoreUnavailableError as error:
            (_SLOW if isinstance(error, StoreTimeoutError) else _AWAY).inc()
            return Shopper(is_known=False)
        user = profile_of(profile)
        try:
            return Shopper(history_of(history), user)
        except ValueError as error:
            _UNREADABLE.inc()
            log.error("a history cannot be read, rebuild it: %s: %s", keys[0], error)  # noqa: TRY400 - as expected
            return Shopper(user=user, is_known=False)
