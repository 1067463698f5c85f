"""The catalogue: each item as its newest record says, from the log's beginning on and through its troubles."""

import contextlib
import gc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from services.scoring.recommendations.asked import Condition
from services.scoring.recommendations.catalogue import Catalogue
from shared.bus.base import Bus, BusUnavailableError, Outgoing, Record
from shared.bus.memory import MemoryBus, MemoryTail
from shared.contracts import codec
from shared.contracts.shopping import Item
from shared.contracts.topics import ITEMS, TOPICS
from shared.runtime import metrics
from shared.runtime.service import Service
from tests.events import START
from tests.unit.scoring.recommendations.catalogue_scene import catalogue_of, item, new_bus
from tests.unit.scoring.scoring_scene import running, wait_until

HOUR = timedelta(hours=1)
RED = Condition(attribute="colour", any_of=["red"])


def write(bus: Bus, *items: Item) -> None:
    publisher = bus.publisher()
    for entry in items:
        publisher.send(Outgoing(ITEMS.name, entry.item_id.encode(), codec.encode(entry))).result(timeout=30)


@contextlib.contextmanager
def followed(bus: Bus) -> Iterator[Catalogue]:
    """Yield a catalogue that has read what is on the log, and follows it."""
    catalogue = Catalogue(bus)
    with running(Service(name="test", app=FastAPI(), workers=(catalogue,))):
        wait_until(lambda: catalogue.problem() is None, "the catalogue is ready")
        yield catalogue


class Told:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def changed(self, item_id: str) -> None:
        self.ids.append(item_id)


def test_it_is_ready_once_it_knows_that_there_is_no_item() -> None:
    assert Catalogue(new_bus()).problem() == "the items topic has not been read yet"
    with followed(new_bus()) as catalogue:
        assert (catalogue.size(), catalogue.item("a")) == (0, None)


def test_the_newest_record_is_the_item() -> None:
    bus = new_bus()
    old, new = item("a", attributes={"price": 1.0}), item("a", attributes={"price": 2.0}, occurred_at=START - HOUR)
    write(bus, old, item("b"), new)
    with followed(bus) as catalogue:
        assert catalogue.item("a") == new
        assert catalogue.size() == 2
        write(bus, item("c"), item("b", is_deleted=True))
        wait_until(lambda: catalogue.item("c") is not None and catalogue.item("b") is None, "the changes")
        assert catalogue.is_deleted("b")
        write(bus, item("b", categories=["back"]))
        wait_until(lambda: catalogue.item("b") == item("b", categories=["back"]), "b is back")
        assert not catalogue.is_deleted("b")
        assert not catalogue.is_deleted("never seen")


def test_items_are_no_work_for_the_garbage_collector() -> None:
    bus = new_bus()
    write(bus, *(item(f"item-{n}") for n in range(50)))
    with followed(bus) as catalogue:
        found = {id(tracked) for tracked in gc.get_objects()}
        assert catalogue.size() == 50
        assert not any(id(entry) in found for entry in catalogue.page(after="", n=50))


@pytest.mark.servers
def test_it_follows_a_real_log(kafka_bus: Bus) -> None:
    kafka_bus.create_topics(TOPICS)
    with followed(kafka_bus) as catalogue:
        write(kafka_bus, item("catalogue-1", attributes={"colour": "red"}))
        wait_until(lambda: catalogue.item("catalogue-1") is not None, "the item")


def test_a_record_that_is_no_item_is_counted_and_changes_nothing() -> None:
    bus, labels = new_bus(), ("scoring", "items", "not_json")
    before = metrics.DEAD_LETTERS.labels(*labels)._value.get()
    write(bus, item("a"))
    bus.publisher().send(Outgoing(ITEMS.name, b"a", b"no item"))
    write(bus, item("b"))
    with followed(bus) as catalogue:
        assert catalogue.item("a") == item("a")
        assert catalogue.item("b") == item("b")
    assert metrics.DEAD_LETTERS.labels(*labels)._value.get() == before + 1


class BreakingTail(MemoryTail):
    """Gives what there is, then breaks; the one opened after it works."""

    def poll(self, *, wait_seconds: float, records_max: int = 10_000) -> list[Record]:
        records = super().poll(wait_seconds=0.0, records_max=records_max)
        if not records:
            raise BusUnavailableError(f"gone after waiting {wait_seconds} s")
        return records


class BreakingBus(MemoryBus):
    """Its first tail breaks."""

    is_broken = False

    def tail(self, topics: Any, *, start: Any, in_order: bool = False) -> MemoryTail:
        kind = MemoryTail if self.is_broken else BreakingTail
        self.is_broken = True
        return kind(self, topics, start, in_order=in_order)


def test_a_log_that_is_away_for_a_moment_does_not_bring_back_what_was() -> None:
    bus, told = BreakingBus(partitions=1), Told()
    bus.create_topics(TOPICS)
    write(bus, item("a"), item("a", is_deleted=True), item("a", categories=["new"]))
    catalogue = Catalogue(bus)
    catalogue.tell(told)
    with running(Service(name="test", app=FastAPI(), workers=(catalogue,))):
        wait_until(lambda: bus.is_broken and catalogue.problem() is None, "the first tail")
        write(bus, item("b"))
        wait_until(lambda: catalogue.item("b") is not None, "what the second tail brings")
    assert told.ids == ["a", "a", "a", "b"]


@pytest.mark.parametrize(
    ("said", "is_shown"),
    [
        ({}, True),
        ({"is_available": False}, False),
        ({"is_deleted": True}, False),
        ({"available_from": START}, True),
        ({"available_from": START + timedelta(microseconds=1)}, False),
        ({"expires_at": START + timedelta(microseconds=1)}, True),
        ({"expires_at": START}, False),
        ({"available_from": START + HOUR, "expires_at": START - HOUR}, False),
    ],
)
def test_an_item_is_shown_while_it_is_there_and_available(said: dict[str, Any], is_shown: bool) -> None:
    assert catalogue_of(item("a", **said)).is_shown("a", START, None, []) is is_shown


def test_only_what_is_asked_for_is_shown() -> None:
    catalogue = catalogue_of(item("a", categories=["shoes", "sale"], attributes={"colour": "red"}))
    assert catalogue.is_shown("a", START, "sale", [RED])
    assert not catalogue.is_shown("a", START, "hats", [RED])
    assert not catalogue.is_shown("a", START, "sale", [RED, Condition(attribute="colour", is_not=True)])


def test_an_item_without_an_entry_may_be_shown_and_is_nothing_that_is_asked_for() -> None:
    catalogue = catalogue_of()
    assert catalogue.is_shown("a", START, None, [])
    assert not catalogue.is_shown("a", START, "shoes", [])
    assert not catalogue.is_shown("a", START, None, [RED])


def test_pages_go_through_every_item_once_in_the_order_of_ids() -> None:
    bus = new_bus()
    write(bus, *(item(f"item-{n}") for n in (5, 3, 9, 1)))
    with followed(bus) as catalogue:
        write(bus, item("item-4"), item("item-9", is_deleted=True), item("item-3", categories=["seen"]))
        wait_until(lambda: catalogue.item("item-9") is None and catalogue.item("item-4") is not None, "the changes")
        wait_until(lambda: catalogue.item("item-3") == item("item-3", categories=["seen"]), "the change of item 3")
        pages, last = [], ""
        while page := catalogue.page(after=last, n=2):
            pages.append([entry.item_id for entry in page])
            last = pages[-1][-1]
    assert pages == [["item-1", "item-3"], ["item-4", "item-5"]]
