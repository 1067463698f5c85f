"""The features of a file's payments, from states that only this file knows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.contracts.events import FeatureVector
from shared.features.applying import Applier, Arrived
from shared.features.engine import Arrival, FeatureEngine
from shared.features.freshness import Source, served
from shared.features.state import KEY_PREFIX
from shared.runtime.clock import ManualClock
from shared.store.memory import MemoryStore

_WHOLE = Source(age_seconds=0.0, lag_records=0, is_complete=True)
_SWEEPS_A_LIFETIME = 8


class Row(NamedTuple):
    """A payment of the file; `vector` is None where it came before."""

    arrival: Arrival
    vector: FeatureVector | None


class PrivateHistory:
    """States in this process's memory, driven by event time: what no window reaches any more is forgotten."""

    def __init__(self, engine: FeatureEngine, since: datetime) -> None:
        """Begin empty; nothing is forgotten before `since`, the time of the first payment to decide."""
        self._feature_set = engine.feature_set
        self._clock = ManualClock(since)
        self._store = MemoryStore(self._clock)
        self._applier = Applier(engine, self._store)
        self._sweep_every = engine.state_lifetime / _SWEEPS_A_LIFETIME
        self._swept_at = since

    def remember(self, batch: Sequence[Arrived]) -> None:
        """Apply what happened before, in order of arrival."""
        self._applier.apply(batch)

    def rows(self, batch: Sequence[Arrived]) -> list[Row]:
        """Apply a batch, in order of time, at most shared.features.tiles.LATENESS long; return its payments."""
        if not batch:
            return []
        self._advance_to(batch[0].event.occurred_at)
        arrivals, vectors, *_ = self._applier.apply(batch)
        return [
            Row(
                arrival,
                served(self._feature_set, arrival.payment, vectors, at, _WHOLE, age_max=timedelta())
                if vectors.is_fresh[at]
                else None,
            )
            for at, arrival in enumerate(arrivals)
        ]

    def _advance_to(self, now: datetime) -> None:
        self._clock.advance(max(timedelta(), now - self._clock.now()))
        if now - self._swept_at >= self._sweep_every:
            self._swept_at = now
            for _ in self._store.keys(KEY_PREFIX):
                pass  # a look at a key that has expired removes it
