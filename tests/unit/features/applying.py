"""A feature engine and a store, applied as the services apply them."""

from collections.abc import Sequence

from shared.contracts.events import Label, Transaction
from shared.features.engine import Arrival, FeatureEngine, Vectors
from shared.features.state import Append, label_append, log_origin, others_to_tell
from shared.runtime.clock import Clock, SystemClock
from shared.store.base import Store
from shared.store.memory import MemoryStore


class Applying:
    """Gives every delivery the next place on one partition of the log."""

    def __init__(
        self,
        engine: FeatureEngine,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        partition: int = 0,
        may_lose: bool = False,
    ) -> None:
        """may_lose: others rewrite the same states, so that a rewriting may come too late."""
        self.engine = engine
        self._partition = partition
        self._may_lose = may_lose
        self.store = store or MemoryStore(clock or SystemClock())
        self.rewritten = 0
        self._offset = 0

    def pay(self, payments: Sequence[Transaction], *, at_offset: int | None = None) -> Vectors:
        """Apply a batch, rewrite what is worth it, and return the answer."""
        first = self._offset if at_offset is None else at_offset
        self._offset = max(self._offset, first + len(payments))
        plan = self.engine.plan(
            [Arrival(payment, log_origin(self._partition, first + at)) for at, payment in enumerate(payments)]
        )
        states = self._round_trip(plan.appends, plan.reads)
        for key, state in zip(plan.reads, states, strict=True):
            smaller = self.engine.rewritten(key, state, asked_us=plan.oldest_us)
            if smaller is not None:
                won = self.store.replace_prefix(key, prefix=state, replacement=smaller)
                assert won or self._may_lose
                self.rewritten += won
        return self.engine.vectors(plan, states)

    def tell(self, label: Label) -> None:
        """Apply a label of a payment that came before it."""
        append = label_append(label, origin=log_origin(self._partition, self._offset))
        self._offset += 1
        (card,) = self._round_trip([append], [append[0]])
        self._round_trip(others_to_tell(card, [label.transaction_id], self.engine.entities), [])

    def state(self, key: str) -> bytes:
        (value,) = self._round_trip([], [key])
        return value

    def _round_trip(self, appends: Sequence[Append], reads: Sequence[str]) -> list[bytes]:
        return self.store.append_and_read(appends, reads, expire_after=self.engine.state_lifetime)
