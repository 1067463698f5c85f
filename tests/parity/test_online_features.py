"""The online path against the oracle, on random streams with duplicates, disorder, equal times and hot keys."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.features.handlers import FeaturesHandler
from shared.bus.base import Record
from shared.contracts import codec
from shared.contracts.events import FeatureVector, Label, Transaction
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.events import label, payment
from tests.parity import oracle

HOURS = st.sampled_from([0, 1, 23, 24, 25, 167, 168, 169, 336, 720, 887, 888])


@st.composite
def streams(draw: st.DrawFn) -> list[Transaction | Label]:
    payments = [
        payment(
            f"t{number}",
            after=timedelta(hours=draw(HOURS)),
            card_id=draw(st.sampled_from(["c1", "c2"])),
            merchant_id=draw(st.sampled_from(["m1", "m2"])),
            amount=draw(st.integers(0, 10**6)),
        )
        for number in range(draw(st.integers(1, 12)))
    ]
    labels = [
        label(of, draw(st.sampled_from(["fraud", "genuine"])), known_after=timedelta(days=draw(st.integers(0, 9))))
        for of in draw(st.lists(st.sampled_from(payments), max_size=8))
    ]
    events: list[Transaction | Label] = [*payments, *labels]
    repeated = draw(st.lists(st.sampled_from(events), max_size=5))
    return list(draw(st.permutations([*events, *repeated])))


def deliveries(events: list[Transaction | Label]) -> list[Delivery]:
    return [
        Delivery(Record((LABELS if isinstance(e, Label) else TRANSACTIONS).name, 0, at, b"", b"", 0), e)
        for at, e in enumerate(events)
    ]


def served(handler: FeaturesHandler, batch: list[Delivery]) -> list[FeatureVector]:
    return [codec.decode(FeatureVector, outgoing.value) for outgoing in handler(batch)]


def expected(events: list[Transaction | Label]) -> dict[str, list[float]]:
    vectors: dict[str, list[float]] = {}
    for at, event in enumerate(events):
        if isinstance(event, Transaction) and event.event_id not in vectors:
            vectors[event.event_id] = oracle.vector(FRAUD, event, events[: at + 1])
    return vectors


@settings(max_examples=200, deadline=None)
@given(streams())
def test_every_payment_gets_the_oracles_vector_once(events: list[Transaction | Label]) -> None:
    handler = FeaturesHandler(FeatureEngine(FRAUD), MemoryStore(SystemClock()))
    vectors = [vector for one in deliveries(events) for vector in served(handler, [one])]
    wanted = expected(events)
    assert [v.transaction.event_id for v in vectors] == list(wanted)
    for vector in vectors:
        assert vector.values == pytest.approx(wanted[vector.transaction.event_id], rel=1e-9, abs=0)


@settings(max_examples=100, deadline=None)
@given(streams(), st.integers(1, 6), st.data())
def test_a_batch_killed_after_its_writes_and_read_again_gives_the_same_vectors(
    events: list[Transaction | Label], size: int, data: st.DataObject
) -> None:
    """The state of an undisturbed run and of one that was killed again and again must serve the same values."""
    calm = FeaturesHandler(FeatureEngine(FRAUD), MemoryStore(SystemClock()))
    troubled = FeaturesHandler(FeatureEngine(FRAUD), MemoryStore(SystemClock()))
    everything = deliveries(events)
    batches = [everything[at : at + size] for at in range(0, len(everything), size)]
    for batch in batches:
        undisturbed = served(calm, batch)
        for _ in range(data.draw(st.integers(0, 2))):
            served(troubled, batch)  # its results never became visible
        assert served(troubled, batch) == undisturbed
