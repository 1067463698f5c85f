"""Random streams and random feature sets, drawn to hit the edges: of windows, of equal times, of missing entities."""

from datetime import timedelta
from itertools import permutations
from typing import Any, get_args

from hypothesis import strategies as st

from shared.contracts.events import Channel, Label, Transaction
from shared.contracts.ids import derived_event_id
from shared.features.definitions import (
    DAY,
    HOUR,
    MINUTE,
    PAST_ONLY,
    Aggregation,
    AmountBelow,
    Category,
    Entity,
    Equals,
    Feature,
    FeatureSet,
    Field,
    Filter,
    Row,
    RowFunction,
    Same,
    Window,
)
from shared.features.tiles import LATENESS
from tests.events import TRACE_ID, label, payment

Stream = list[Transaction | Label]

_LENGTHS = [MINUTE, timedelta(seconds=61), HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY]
_DELAYS = [timedelta(), timedelta(), MINUTE, DAY, 7 * DAY, 90 * DAY]
_MICROSECOND = timedelta(microseconds=1)
_STEPS = [timedelta(), MINUTE, timedelta(seconds=61), HOUR, DAY, 7 * DAY, 8 * DAY, 30 * DAY, 37 * DAY, 90 * DAY]
_TIMES = sorted({max(step + by, timedelta()) for step in _STEPS for by in (-_MICROSECOND, timedelta(), _MICROSECOND)})
AMOUNTS = st.one_of(st.sampled_from([0, 1, 499, 500, 501, 10**15]), st.integers(0, 10**6))
_VALUES: dict[Field, list[str]] = {
    Field.CHANNEL: list(get_args(Channel)),
    Field.COUNTRY: ["AA", "DE", "ZZ"],
    Field.MCC: ["0000", "5411", "9999"],
    Field.CURRENCY: ["AAA", "EUR", "ZZZ"],
}


@st.composite
def _payments(draw: st.DrawFn, number: int) -> Transaction:
    fields: dict[str, Any] = {field.value: draw(st.sampled_from(_VALUES[field])) for field in Field}
    return payment(
        f"t{number}",
        after=draw(st.sampled_from(_TIMES)) + draw(st.sampled_from([timedelta(), timedelta(), DAY])),
        card_id=draw(st.sampled_from(["c1", "c1", "c1", "c2"])),
        # An id may be the same text as another kind's.
        merchant_id=draw(st.sampled_from(["m1", "m1", "c1"])),
        device_id=draw(st.sampled_from([None, "d1", "d1", "c1"])),
        user_id=draw(st.sampled_from([None, "u1", "u1", "d1"])),
        amount=draw(AMOUNTS),
        **fields,
    )


@st.composite
def _labels(draw: st.DrawFn, payments: list[Transaction], number: int) -> Label:
    of = draw(st.sampled_from(payments))
    told = label(of, known_after=draw(st.sampled_from([timedelta(), MINUTE, DAY, 7 * DAY, 30 * DAY])))
    return Label(
        event_id=derived_event_id(told.occurred_at, "labels", str(number)),
        occurred_at=told.occurred_at,
        trace_id=TRACE_ID,
        transaction_id=of.transaction_id,
        card_id=of.card_id,
        label=draw(st.sampled_from(["fraud", "fraud", "genuine"])),
        source="review",
    )


@st.composite
def streams(draw: st.DrawFn, *, late_max: timedelta = LATENESS) -> Stream:
    """Draw payments and labels in order of arrival: repeated, and up to `late_max` late, so labels before payments too."""
    payments = [draw(_payments(number)) for number in range(draw(st.integers(1, 14)))]
    labels = [draw(_labels(payments, number)) for number in range(draw(st.integers(0, 8)))]
    events: Stream = [*payments, *labels]
    events += draw(st.lists(st.sampled_from(events), max_size=5))
    delays = [draw(st.sampled_from([timedelta(), timedelta(), MINUTE, HOUR, late_max])) for _ in events]
    order = draw(st.permutations(range(len(events))))
    return [events[at] for at in sorted(order, key=lambda at: events[at].occurred_at + delays[at])]


@st.composite
def shuffled_streams(draw: st.DrawFn) -> Stream:
    """Draw few events, in any order of arrival: too few for a state to be rewritten, so no lateness is too much."""
    payments = [draw(_payments(number)) for number in range(draw(st.integers(1, 8)))]
    labels = [draw(_labels(payments, number)) for number in range(draw(st.integers(0, 2)))]
    repeated = draw(st.lists(st.sampled_from(payments), max_size=3))
    return list(draw(st.permutations([*payments, *labels, *repeated])))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Draw any window that means something."""
    entity = draw(st.sampled_from([*Entity, *permutations(Entity, 2)]))
    own = entity[0] if isinstance(entity, tuple) else entity
    others = [other for other in Entity if other is not own]
    aggregation = draw(st.sampled_from(Aggregation))
    has_delay = aggregation not in PAST_ONLY and aggregation is not Aggregation.OUTLIERS
    wheres: list[st.SearchStrategy[Filter]] = [
        st.sampled_from(Field).flatmap(lambda field: st.sampled_from([Equals(field, v) for v in _VALUES[field]])),
        st.sampled_from([Same(what) for what in (*Field, *others)]),
        st.sampled_from([AmountBelow(bound) for bound in (1, 500, 10**15)]),
    ]
    delays = st.sampled_from([delay for delay in _DELAYS if delay or aggregation is not Aggregation.FRAUD_STREAK])
    is_narrowed = aggregation is Aggregation.SHARE or draw(st.booleans())
    return Window(
        entity,
        aggregation,
        draw(st.sampled_from(_LENGTHS)),
        draw(delays) if has_delay else timedelta(),
        where=draw(st.one_of(wheres)) if is_narrowed else None,
        of=draw(st.sampled_from([*Field, *others])) if aggregation is Aggregation.DISTINCT else None,
        reference=draw(st.sampled_from(_LENGTHS)) if aggregation is Aggregation.OUTLIERS else None,
    )


def feature_sets() -> st.SearchStrategy[FeatureSet]:
    """Draw feature sets from the whole vocabulary."""
    rows = st.sampled_from([*map(Row, RowFunction), *map(Category, Field)])
    features: st.SearchStrategy[Feature] = st.one_of(windows(), windows(), windows(), windows(), rows)
    return st.lists(features, min_size=1, max_size=12, unique_by=lambda feature: feature.name).map(
        lambda drawn: FeatureSet("drawn", tuple(drawn))
    )
