"""The state after a rebuild is the state from before, and nothing is answered."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from services.features.archived import Archived
from services.features.handlers import FeaturesHandler
from services.features.interactions import InteractionsHandler
from services.features.rebuild import StateEmptiedError, history_batches, log_batches, rebuild
from services.training.columns import table, vector_table
from shared.bus.base import Outgoing, Record
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import Event, Label, Transaction
from shared.contracts.shopping import Interaction, User
from shared.contracts.topics import FEATURES, INTERACTIONS, LABELS, TOPICS, TRANSACTIONS, USERS, Topic
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.features.progress import PROGRESS_KEY, Progress, needed_hours
from shared.features.state import KEY_PREFIX, ORIGIN, Records, records_of
from shared.recommendation.history import folded, history_of, profile_key
from shared.runtime.clock import SystemClock
from shared.runtime.clock_skew import FutureBound
from shared.runtime.dead_letters import dead_letter
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.events import START, label, payment
from tests.unit.features.shoppers import KEPT_FOR, interaction, user

TOPIC_OF = {Transaction: TRANSACTIONS, Label: LABELS, Interaction: INTERACTIONS, User: USERS}
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
CLOCK = SystemClock()
FUTURE = FutureBound(CLOCK, timedelta(minutes=5))
ENGINE = FeatureEngine(FRAUD)

PAYMENTS = [
    payment(f"t{n}", after=n * MINUTE, card_id=f"card-{n % 7}", merchant_id=f"merchant-{n % 5}", device_id=f"d{n % 3}")
    for n in range(60)
]
LATE = payment("late", after=-DAY, card_id="card-1", user_id="u1")
EVENTS: list[Event] = [
    *PAYMENTS[:30],
    LATE,
    *(label(of, known_after=2 * MINUTE) for of in PAYMENTS[:30:4]),
    PAYMENTS[3],  # sent twice
    *PAYMENTS[30:],
    label(PAYMENTS[8], "genuine", known_after=DAY),
]


def new_handler(store: MemoryStore) -> FeaturesHandler:
    return FeaturesHandler(ENGINE, store, CLOCK, age_max=DAY, lag_records=lambda: None)


def new_bus() -> MemoryBus:
    bus = MemoryBus(partitions=4)
    bus.create_topics(TOPICS)
    return bus


def send(bus: MemoryBus, events: Sequence[Event]) -> None:
    for at, event in enumerate(events):
        topic = TOPIC_OF[type(event)]
        bus.publisher().send(Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event), 1_000 + at))


def state(store: MemoryStore) -> dict[str, bytes]:
    return {key: value for key, value in store._values.items() if key.startswith(KEY_PREFIX)}


def refill(store: MemoryStore, batches: Iterator[list[Delivery]]) -> dict[str, int]:
    histories = InteractionsHandler(store, kept_for=KEPT_FOR)
    return dict(rebuild(new_handler(store), histories, store, FRAUD, batches, show=lambda _: None))


def is_complete(store: MemoryStore) -> bool:
    return Progress.decode(store._values.get(PROGRESS_KEY, b"")).is_complete(needed_hours(FRAUD))


def served(bus: MemoryBus) -> tuple[MemoryStore, list[Record]]:
    """The store as the service leaves it, and the vectors it wrote."""
    store = MemoryStore(CLOCK)
    handler, vectors = new_handler(store), bus.publisher()
    for batch in log_batches(bus, FUTURE):
        for at in range(0, len(batch), 7):
            for outgoing in handler(batch[at : at + 7]):
                vectors.send(outgoing)
    return store, bus.tail([FEATURES.name], start="oldest").poll(wait_seconds=0)


def test_from_the_log_every_key_has_the_bytes_it_had() -> None:
    bus = new_bus()
    send(bus, EVENTS)
    before, _ = served(bus)
    after = MemoryStore(CLOCK)
    counts = refill(after, log_batches(bus, FUTURE))
    assert state(after) == state(before)
    assert len(state(after)) == 7 + 5 + 3 + 1
    assert counts == {TRANSACTIONS.name: 62, LABELS.name: 9, USERS.name: 0, INTERACTIONS.name: 0}
    assert is_complete(after)


def test_a_second_rebuild_and_payments_that_came_meanwhile_change_no_vector() -> None:
    bus = new_bus()
    send(bus, EVENTS)
    undisturbed, _ = served(bus)
    store = MemoryStore(CLOCK)
    new_handler(store)([d for batch in log_batches(bus, FUTURE) for d in batch][-5:])
    refill(store, log_batches(bus, FUTURE))
    refill(store, log_batches(bus, FUTURE))
    last = payment("next", after=DAY, card_id="card-1", merchant_id="merchant-1", device_id="d1")
    (delivery,) = [Delivery(Record(TRANSACTIONS.name, 0, 99, b"card-1", b"", 9_000), last)]
    values = [new_handler(of).apply([delivery]).vectors.values.tolist() for of in (undisturbed, store)]
    assert values[0] == values[1]


def test_from_the_archive_and_what_it_lacks_from_the_log() -> None:
    bus = new_bus()
    send(bus, EVENTS)
    before, vectors = served(bus)
    after = MemoryStore(CLOCK)
    counts = refill(after, archived_of(vectors[:40], bus).batches(log_batches(bus, FUTURE)))
    # Without the copy of a payment that is archived.
    assert counts == {TRANSACTIONS.name: 61, LABELS.name: 9, USERS.name: 0, INTERACTIONS.name: 0}
    assert set(state(after)) == set(state(before))
    for key, value in state(before).items():
        # A vector's place on the log is not its payment's.
        assert events_of(state(after)[key]) == events_of(value)


def archived_of(vectors: Sequence[Record], bus: MemoryBus) -> Archived:
    labels = bus.tail([LABELS.name], start="oldest").poll(wait_seconds=0)
    return Archived(
        vector_table(deliveries(FEATURES, vectors), FRAUD).with_columns(event_id="transaction_event_id"),
        table(LABELS.name, deliveries(LABELS, labels)),
    )


def deliveries(topic: Topic, records: Sequence[Record]) -> list[Delivery]:
    return [Delivery(record, codec.decode(topic.event, record.value or b"")) for record in records]


def events_of(value: bytes) -> set[bytes]:
    records: Records = records_of(value).copy()
    records[:, ORIGIN] = 0
    return {record.tobytes() for record in records}


def test_what_the_service_set_aside_stays_out() -> None:
    bus = new_bus()
    ahead = payment("ahead", after=CLOCK.now() - START + DAY, card_id="card-8")
    rejected = payment("rejected", card_id="card-9")
    send(bus, [ahead, rejected, PAYMENTS[0]])
    bus.publisher().send(Outgoing(TRANSACTIONS.name, b"card-9", b"not json"))
    for record in bus.tail([TRANSACTIONS.name], start="oldest").poll(wait_seconds=0):
        if record.key == b"card-9":
            error = codec.BadRecordError("ahead_of_clock", "when it came")
            bus.publisher().send(dead_letter("features", record, error, CLOCK.now()))
    (batch,) = log_batches(bus, FUTURE)
    assert [delivery.event for delivery in batch] == [PAYMENTS[0]]


def test_a_store_that_is_emptied_while_it_is_refilled_is_not_called_whole() -> None:
    store = MemoryStore(CLOCK)

    def emptied() -> Iterator[list[Delivery]]:
        yield [Delivery(Record(TRANSACTIONS.name, 0, 0, b"", b"", 0), PAYMENTS[0])]
        store._values.clear()

    with pytest.raises(StateEmptiedError, match="run `headrace rebuild` again"):
        refill(store, emptied())
    assert not is_complete(store)


def test_a_rebuild_leaves_nothing_behind_but_the_state() -> None:
    bus, store = new_bus(), MemoryStore(CLOCK)
    send(bus, EVENTS)
    refill(store, log_batches(bus, FUTURE))
    assert [key for key in store._values if not key.startswith(KEY_PREFIX)] == [PROGRESS_KEY]
    assert bus.tail([FEATURES.name], start="oldest").poll(wait_seconds=0) == []


def shoppers(store: MemoryStore) -> dict[str, bytes]:
    """What the store says of shoppers; a history folded, so that it is told in one way."""
    found = {key: value for key, value in store._values.items() if key.startswith(("history:", "profile:"))}
    return {key: folded(history_of(value)) if key.startswith("history:") else value for key, value in found.items()}


def test_histories_and_profiles_come_back_and_whoever_was_deleted_does_not() -> None:
    bus, before, after = new_bus(), MemoryStore(CLOCK), MemoryStore(CLOCK)
    events = [
        *(interaction(f"i{n}", after=n * MINUTE, user_id=f"u{n % 3}") for n in range(1_500)),
        *(user(f"u{n}", attributes={"age": float(n)}) for n in range(3)),
        user("u1", after=1_490 * MINUTE, is_deleted=True),
        user("u2", after=DAY, attributes={"age": 40.0}),
    ]
    send(bus, events)
    served = InteractionsHandler(before, kept_for=KEPT_FOR)
    for topics in [(USERS,), (INTERACTIONS,)]:
        for batch in log_batches(bus, FUTURE, topics):
            served(batch)
    counts = refill(after, history_batches(bus, FUTURE))
    assert shoppers(after) == shoppers(before)
    assert sorted(len(history_of(value)) for key, value in shoppers(after).items() if "history" in key) == [3, 256, 256]
    assert (counts[USERS.name], counts[INTERACTIONS.name]) == (3, 1_500)


def test_a_rebuild_leaves_a_profile_that_was_put_meanwhile() -> None:
    bus, store = new_bus(), MemoryStore(CLOCK)
    send(bus, [user(attributes={"age": 1.0})])
    batches = history_batches(bus, FUTURE)
    newer = user(after=DAY, attributes={"age": 2.0})
    InteractionsHandler(store, kept_for=KEPT_FOR)([Delivery(Record(USERS.name, 0, 1, b"", b"", 0), newer)])
    refill(store, batches)
    assert shoppers(store) == {profile_key("u1"): codec.encode(newer)}
