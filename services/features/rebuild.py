"""Refills the state from what has been: the log, or the archive and then what it lacks of the log.

Everything is applied as the service applies it, and applying it twice changes nothing: so the services may run on
meanwhile, and a rebuild that was interrupted is begun again. Nothing is answered.
"""

import contextlib
import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

from services.features.handlers import FeaturesHandler
from services.features.interactions import InteractionsHandler
from shared.bus.base import Bus, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import DeadLetter, Label, Transaction
from shared.contracts.topics import BY_NAME, INTERACTIONS, LABELS, TRANSACTIONS, USERS, Topic
from shared.features.definitions import FeatureSet
from shared.features.progress import PROGRESS_KEY, needed_hours, whole
from shared.runtime.clock_skew import FutureBound
from shared.runtime.loop import Delivery
from shared.store.base import Store

RECORDS_AT_ONCE = 5_000

_SERVICE = "features"
_WAIT_SECONDS = 0.2
_WITNESS_LIFETIME = timedelta(days=7)

WINDOWED: tuple[Topic, ...] = (TRANSACTIONS, LABELS)
REBUILT: tuple[Topic, ...] = (*WINDOWED, USERS, INTERACTIONS)

Place = tuple[str, int, int]
"""Topic, partition, offset."""


class StateEmptiedError(Exception):
    """The store lost its state again while it was being refilled."""


def rebuild(
    windows: FeaturesHandler,
    histories: InteractionsHandler,
    store: Store,
    feature_set: FeatureSet,
    batches: Iterator[Sequence[Delivery]],
    *,
    show: Callable[[Mapping[str, int]], None],
) -> Mapping[str, int]:
    """Apply `batches`, in the order of arrival, and declare the state whole; return how many records, by topic.

    batches: of payments and labels, or of users and interactions.
    show: called after each batch with the counts so far.

    Raises:
        StateEmptiedError: run it again. Also what `batches` raises, and StoreUnavailableError.
    """
    # Something that goes when everything goes.
    witness = f"headrace:rebuild:{uuid.uuid4().hex}"
    store.set_if_absent(witness, b"1", expire_after=_WITNESS_LIFETIME)
    counts: Counter[str] = Counter({topic.name: 0 for topic in REBUILT})
    for batch in batches:
        if isinstance(batch[0].event, Transaction | Label):
            windows.apply(batch)
        else:
            histories.restore(batch)
        counts.update(delivery.record.topic for delivery in batch)
        show(counts)
    if not store.replace_prefix(witness, prefix=b"1", replacement=b""):
        raise StateEmptiedError("Redis was emptied while it was being refilled; run `headrace rebuild` again")
    store.patch(PROGRESS_KEY, patches=[whole(needed_hours(feature_set))])
    return counts


def history_batches(bus: Bus, future: FutureBound) -> Iterator[list[Delivery]]:
    """Yield of every user the newest event that the log holds, and then its interactions: as `log_batches`."""
    newest: dict[str, Delivery] = {}
    for batch in log_batches(bus, future, (USERS,)):
        newest.update((USERS.key_of(delivery.event), delivery) for delivery in batch)
    users = iter(newest.values())
    while batch := list(itertools.islice(users, RECORDS_AT_ONCE)):
        yield batch
    yield from log_batches(bus, future, (INTERACTIONS,))


def log_batches(bus: Bus, future: FutureBound, topics: Sequence[Topic] = WINDOWED) -> Iterator[list[Delivery]]:
    """Yield what the log holds of `topics`, up to its end as of now at least, in the order in which it arrived.

    Left out is what the service did not apply: what it set aside as dead letters, and what it would.
    """
    set_aside = _set_aside(bus, topics)
    with contextlib.closing(bus.tail([topic.name for topic in topics], start="oldest", in_order=True)) as tail:
        while not tail.caught_up():
            records = tail.poll(wait_seconds=_WAIT_SECONDS, records_max=RECORDS_AT_ONCE)
            deliveries = [_delivery(record, future) for record in records if _place(record) not in set_aside]
            if batch := [delivery for delivery in deliveries if delivery is not None]:
                yield batch


def _set_aside(bus: Bus, topics: Sequence[Topic]) -> set[Place]:
    names = [topic.dead_letter_name for topic in topics]
    places: set[Place] = set()
    with contextlib.closing(bus.tail(names, start="oldest")) as tail:
        while not tail.caught_up():
            for record in tail.poll(wait_seconds=_WAIT_SECONDS):
                # Whoever may write to the topic may have written something else: it sets nothing aside.
                with contextlib.suppress(BadRecordError):
                    letter = codec.decode(DeadLetter, record.value or b"")
                    if letter.service == _SERVICE:
                        places.add((letter.topic, letter.partition, letter.offset))
    return places


def _place(record: Record) -> Place:
    return record.topic, record.partition, record.offset


def _delivery(record: Record, future: FutureBound) -> Delivery | None:
    try:
        event = codec.decode_record(BY_NAME[record.topic], record.key, record.value)
    except BadRecordError:
        return None
    return None if future.complaint(event.occurred_at) else Delivery(record, event)
