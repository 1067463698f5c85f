"""How many events a second a key may send."""

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

_LEASES_A_SECOND = 20


class EventRates:
    """Counts what each key sent in the second behind it, within this process.

    A call of the library costs 30 microseconds, and one in twenty up to 300, since it starts a thread that tidies up.
    So a key takes a twentieth of its second at a time, spends that here, and may exceed its rate by that twentieth. Of
    the library's windows this one keeps no entry an event, and locks no key out when the host's clock is set back.
    """

    def __init__(self) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._leased: dict[str, int] = {}

    def spend(self, key_id: str, events: int, *, per_second: int) -> bool:
        """Tell whether the key may send `events` more now; if so they are counted."""
        lacking = events - self._leased.get(key_id, 0)
        if lacking <= 0:
            self._leased[key_id] = -lacking
            return True
        limit = RateLimitItemPerSecond(per_second)
        ahead = per_second // _LEASES_A_SECOND
        if ahead and self._limiter.hit(limit, key_id, cost=lacking + ahead):
            self._leased[key_id] = ahead
            return True
        if self._limiter.hit(limit, key_id, cost=lacking):
            self._leased[key_id] = 0
            return True
        return False
