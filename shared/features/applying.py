"""Payments and labels, as they arrive, applied to the states, and the vectors of the payments."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

from shared.contracts.events import Label, Transaction
from shared.features.definitions import Entity
from shared.features.engine import Arrival, FeatureEngine, Plan, Vectors
from shared.features.progress import PROGRESS_KEY, Progress, needed_hours
from shared.features.state import Append, label_append, others_to_tell, payment_records


class States(Protocol):
    """Where the states are kept, as shared.store.base.Store says."""

    def append_and_read(
        self, appends: Sequence[Append], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]: ...

    def replace_prefix(self, key: str, *, prefix: bytes, replacement: bytes) -> bool: ...


class Arrived(NamedTuple):
    """A payment or a label, and where it came from (see state.log_origin)."""

    event: Transaction | Label
    origin: int


class Applied(NamedTuple):
    """What became of a batch.

    arrivals: its payments, in order of arrival; a row of `vectors` each.
    is_complete: whether the states were whole.
    unmatched_labels: how many came before, or without, the payment they speak of.
    rewritten: how many states were made smaller.
    """

    arrivals: Sequence[Arrival]
    vectors: Vectors
    is_complete: bool
    unmatched_labels: int
    rewritten: int


class _Told(NamedTuple):
    """What a batch's labels append, by how many of its payments come before; and how many had no payment."""

    appends: dict[int, list[Append]]
    unmatched: int


class Applier:
    """Applies batches to the states; applying one twice changes nothing."""

    def __init__(self, engine: FeatureEngine, states: States) -> None:
        self._engine = engine
        self._states = states
        self._needed_hours = needed_hours(engine.feature_set)

    def apply(self, batch: Sequence[Arrived]) -> Applied:
        """Apply `batch`, which is in order of arrival, and compute its vectors; raises what the states raise."""
        arrivals = [Arrival(event, origin) for event, origin in batch if isinstance(event, Transaction)]
        told = self._told(batch)
        plan = self._engine.plan(arrivals, before=told.appends)
        *states, progress = self._round_trip(plan.appends, [*plan.reads, PROGRESS_KEY])
        vectors = self._engine.vectors(plan, states)
        if self._tell_early_labels(plan, states, vectors):
            states = self._round_trip([], plan.reads)
            vectors = self._engine.vectors(plan, states)
        rewritten = self._rewrite(plan, states)
        is_complete = Progress.decode(progress).is_complete(self._needed_hours)
        return Applied(arrivals, vectors, is_complete, told.unmatched, rewritten)

    def _told(self, batch: Sequence[Arrived]) -> _Told:
        appends: dict[int, list[Append]] = defaultdict(list)
        states = self._cards_of_labels(batch)
        payments = unmatched = 0
        for event, origin in batch if states else ():
            if isinstance(event, Label):
                key, record = label_append(event, origin=origin)
                states[key] += record
                others = others_to_tell(states[key], [event.transaction_id], self._engine.entities)
                unmatched += not others
                appends[payments] += [(key, record), *others]
            else:
                payments += 1
                _keep(states, event, origin)
        return _Told(appends, unmatched)

    def _cards_of_labels(self, batch: Sequence[Arrived]) -> dict[str, bytes]:
        """Return the states of the cards that labels speak of: they tell whose merchants, devices and users to tell."""
        labels = [event for event, _ in batch if isinstance(event, Label)]
        keys = list(dict.fromkeys(label_append(label, origin=0)[0] for label in labels))
        return dict(zip(keys, self._round_trip([], keys), strict=True)) if keys else {}

    def _tell_early_labels(self, plan: Plan, states: Sequence[bytes], vectors: Vectors) -> bool:
        """Pass on labels that came before their payment, if any: until now nobody knew whom else they concern."""
        if not vectors.is_labelled.any():
            return False
        appends: list[Append] = []
        for arrival, segments, is_labelled in zip(plan.arrivals, plan.segments, vectors.is_labelled, strict=True):
            if is_labelled:
                card = states[segments[0]]
                appends += others_to_tell(card, [arrival.payment.transaction_id], self._engine.entities)
        if appends:
            self._round_trip(appends, [])
        return bool(appends)

    def _rewrite(self, plan: Plan, states: Sequence[bytes]) -> int:
        rewritten = 0
        for key, state in zip(plan.reads, states, strict=True):
            smaller = self._engine.rewritten(key, state, asked_us=plan.oldest_us)
            if smaller is not None:
                rewritten += self._states.replace_prefix(key, prefix=state, replacement=smaller)
        return rewritten

    def _round_trip(self, appends: Sequence[Append], reads: Sequence[str]) -> list[bytes]:
        return self._states.append_and_read(appends, reads, expire_after=self._engine.state_lifetime)


def _keep(states: dict[str, bytes], payment: Transaction, origin: int) -> None:
    """Add a payment to its card's state, should a label of the same batch speak of it."""
    (append,) = payment_records(payment, origin=origin, entities=(Entity.CARD,)).appends
    if append and append[0] in states:
        states[append[0]] += append[1]
