"""Slows down whoever feels for the decision boundary: the same payment again and again, a little changed each time."""

from shared.access.gate import Caller
from shared.contracts.events import Transaction
from shared.runtime import metrics
from shared.runtime.clock import Clock

QUERIES_MAX = 10
WINDOW_SECONDS = 600.0
DELAY_SECONDS_MAX = 2.0
_WHATEVER_THE_AMOUNT = 3
_FINGERPRINTS_MAX = 50_000  # a generation and budget: 35 MB in all


class _Budget:
    """How many queries of one fingerprint are free, in a bucket that empties evenly over the window.

    What is kept a fingerprint is when its bucket will be empty (the generic cell rate algorithm, ITU-T I.371), in two
    generations: when the younger is full the older is forgotten, so that at least the last _FINGERPRINTS_MAX are known.
    """

    def __init__(self, queries_max: int, window_seconds: float) -> None:
        self._queries_max = queries_max
        self._query_seconds = window_seconds / queries_max
        self._empty_at: dict[int, float] = {}
        self._older: dict[int, float] = {}

    def __contains__(self, fingerprint: int) -> bool:
        return fingerprint in self._empty_at or fingerprint in self._older

    def spend(self, fingerprint: int, now_seconds: float) -> float:
        """Count one query; return 0 within the budget, rising to 1 at twice the budget and staying there."""
        empty_at = self._empty_at.get(fingerprint) or self._older.get(fingerprint, 0.0)
        queries = max(empty_at - now_seconds, 0.0) / self._query_seconds + 1.0
        queries = min(queries, 2.0 * self._queries_max)
        if len(self._empty_at) >= _FINGERPRINTS_MAX:
            self._older, self._empty_at = self._empty_at, {}
        self._empty_at[fingerprint] = now_seconds + queries * self._query_seconds
        return max(queries / self._queries_max - 1.0, 0.0)


class ProbingBudget:
    """How long an answer is held back; for one thread.

    Payments are alike when caller, card, merchant, device, channel, country and category are the same, and the amount
    is within a factor of two: `queries_max` of them in `window_seconds` are free, and three times as many whatever the
    amount. The very same payment once more, as after a lost answer, is no probing; it has a budget of `queries_max`
    repeats of its own.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        queries_max: int = QUERIES_MAX,
        window_seconds: float = WINDOW_SECONDS,
        delay_seconds_max: float = DELAY_SECONDS_MAX,
    ) -> None:
        """Wire it; beyond the budget the delay grows evenly, to its maximum at twice the budget."""
        self._clock = clock
        self._window_seconds = window_seconds
        self._delay_seconds_max = delay_seconds_max
        self._alike = _Budget(queries_max, window_seconds)
        self._alike_but_amount = _Budget(queries_max * _WHATEVER_THE_AMOUNT, window_seconds)
        self._repeated = _Budget(queries_max + 1, window_seconds)
        self._slowed_at: dict[str, float] = {}
        metrics.PROBING_KEYS.set_function(self.slowed_keys)

    def delay_seconds(self, caller: Caller, payment: Transaction) -> float:
        """Count a query and return how long to hold back its answer; 0 within the budgets."""
        now_seconds = self._clock.monotonic_seconds()
        place = _place(caller, payment)
        amount = payment.amount
        itself = hash((place, amount, payment.currency, payment.user_id, payment.transaction_id))
        if itself in self._repeated:
            kind, excess = "repeated", self._repeated.spend(itself, now_seconds)
        else:
            self._repeated.spend(itself, now_seconds)
            kind, excess = (
                "similar",
                max(
                    self._alike.spend(hash((place, amount.bit_length())), now_seconds),
                    self._alike_but_amount.spend(place, now_seconds),
                ),
            )
        if excess == 0.0:
            return 0.0
        metrics.PROBING.labels(caller.name, kind).inc()
        self._slowed_at[caller.key_id] = now_seconds
        return self._delay_seconds_max * min(excess, 1.0)

    def slowed_keys(self) -> int:
        """Return how many keys had a query slowed within the window."""
        since_seconds = self._clock.monotonic_seconds() - self._window_seconds
        self._slowed_at = {key_id: at for key_id, at in self._slowed_at.items() if at > since_seconds}
        return len(self._slowed_at)


def _place(caller: Caller, payment: Transaction) -> int:
    return hash(
        (
            caller.key_id,
            payment.card_id,
            payment.merchant_id,
            payment.device_id,
            payment.channel,
            payment.country,
            payment.mcc,
        )
    )
