"""The online path against the oracle: random streams, random feature sets, equal to it whatever happens on the way."""

import itertools

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.features.handlers import FeaturesHandler
from shared.bus.base import Record
from shared.contracts import codec
from shared.contracts.events import FeatureVector, Label, Transaction
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import DAY, HOUR, Aggregation, Feature, FeatureSet, Row, RowFunction, Window
from shared.features.engine import FeatureEngine
from shared.features.tiles import LATENESS
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.parity import oracle
from tests.parity.strategies import Stream, feature_sets, shuffled_streams, streams

_COUNTED = {Aggregation.COUNT, Aggregation.DISTINCT, Aggregation.FRAUD_COUNT, Aggregation.OUTLIERS}
_COUNTED |= {Aggregation.MIN, Aggregation.MAX}
# A payment that is very near its mean leaves next to nothing of the digits of either in the difference, and the sine of
# a whole turn is 0 only but for rounding: there a relative bound means nothing.
_CANCELLING = {Aggregation.DEVIATION, Aggregation.Z_SCORE, Aggregation.ROBUST_Z}

# Not "explain": it traces every line, which takes minutes here.
PHASES = (Phase.generate, Phase.shrink)


def new_handler(feature_set: FeatureSet) -> FeaturesHandler:
    clock = SystemClock()
    return FeaturesHandler(
        FeatureEngine(feature_set),
        MemoryStore(clock),
        clock,
        age_max=36_500 * DAY,
        lag_records=lambda: 0,
    )


def deliveries(events: Stream) -> list[Delivery]:
    """Each event produced after the one before it, so that the list's order is the log's."""
    return [
        Delivery(Record((LABELS if isinstance(e, Label) else TRANSACTIONS).name, 0, at, b"", b"", at), e)
        for at, e in enumerate(events)
    ]


def served(handler: FeaturesHandler, batch: list[Delivery]) -> list[tuple[str, list[float]]]:
    vectors = [codec.decode(FeatureVector, outgoing.value) for outgoing in handler(batch)]
    return [(vector.transaction.event_id, vector.values) for vector in vectors]


def expected(feature_set: FeatureSet, events: Stream) -> dict[str, list[float]]:
    vectors: dict[str, list[float]] = {}
    for at, event in enumerate(events):
        if isinstance(event, Transaction) and event.event_id not in vectors:
            vectors[event.event_id] = oracle.vector(feature_set, event, events[: at + 1])
    return vectors


def assert_equal(feature: Feature, value: float, wanted: float) -> None:
    if isinstance(feature, Window) and feature.aggregation not in _COUNTED:
        absolute = 1e-6 if feature.aggregation in _CANCELLING else 0.0
        assert value == pytest.approx(wanted, rel=1e-9, abs=absolute), feature.name
    elif isinstance(feature, Row) and feature.function is not RowFunction.AMOUNT:
        assert value == pytest.approx(wanted, rel=1e-9, abs=1e-12), feature.name
    else:
        assert value == wanted, feature.name


def assert_served_as_the_oracle_says(feature_set: FeatureSet, events: Stream) -> None:
    handler = new_handler(feature_set)
    vectors = [vector for one in deliveries(events) for vector in served(handler, [one])]
    wanted = expected(feature_set, events)
    assert [event_id for event_id, _ in vectors] == list(wanted)
    for event_id, values in vectors:
        for feature, value, oracles in zip(feature_set.features, values, wanted[event_id], strict=True):
            assert_equal(feature, value, oracles)


@settings(max_examples=300, phases=PHASES)
@given(feature_sets(), streams() | shuffled_streams())
def test_every_feature_of_the_vocabulary_is_served_as_the_oracle_says(feature_set: FeatureSet, events: Stream) -> None:
    assert_served_as_the_oracle_says(feature_set, events)


@settings(max_examples=100, phases=PHASES)
@given(streams() | shuffled_streams())
def test_the_fraud_features_are_served_as_the_oracle_says(events: Stream) -> None:
    assert_served_as_the_oracle_says(FRAUD, events)


@settings(max_examples=150, phases=PHASES)
@given(feature_sets(), streams(), st.integers(2, 8))
def test_batches_of_any_size_serve_the_same(feature_set: FeatureSet, events: Stream, size: int) -> None:
    one_by_one, batched = new_handler(feature_set), new_handler(feature_set)
    everything = deliveries(events)
    calm = [vector for one in everything for vector in served(one_by_one, [one])]
    batches = [everything[at : at + size] for at in range(0, len(everything), size)]
    assert [vector for batch in batches for vector in served(batched, batch)] == calm


def batch_from(everything: list[Delivery], at: int, records_max: int) -> list[Delivery]:
    """Return the next batch: what is read a second time may be late by no more than LATENESS, the batch included."""
    end = everything[at].event.occurred_at + LATENESS - 2 * HOUR
    batch = everything[at : at + records_max]
    return list(itertools.takewhile(lambda delivery: delivery.event.occurred_at <= end, batch))


@settings(max_examples=150, phases=PHASES)
@given(streams(late_max=HOUR), st.data())
def test_batches_killed_after_their_writes_and_read_again_serve_the_same(events: Stream, data: st.DataObject) -> None:
    """A batch that was given up is read again from its beginning, and may end elsewhere the next time."""
    calm, troubled = new_handler(FRAUD), new_handler(FRAUD)
    everything, sizes = deliveries(events), st.integers(1, 8)
    undisturbed = [vector for one in everything for vector in served(calm, [one])]
    answered, at = [], 0
    while at < len(everything):
        for _ in range(data.draw(st.integers(0, 2))):
            served(troubled, batch_from(everything, at, data.draw(sizes)))  # its results never became visible
        batch = batch_from(everything, at, data.draw(sizes))
        answered += served(troubled, batch)
        at += len(batch)
    assert answered == undisturbed
