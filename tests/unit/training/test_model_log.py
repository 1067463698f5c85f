"""Appending to `models`: one chain, however many write to it."""

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from services.training.model_log import History, ModelLog
from shared.bus.base import Bus, BusUnavailableError, Outgoing
from shared.bus.chained_log import ATTEMPTS_MAX
from shared.bus.kafka import KafkaBus
from shared.bus.memory import MemoryBus
from shared.contracts.chain import first_broken_link, link
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS, TOPICS
from tests.model_events import model_event

APPENDS = 20


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus(partitions=1)
    bus.create_topics(TOPICS)
    return bus


def values(bus: Bus) -> list[bytes | None]:
    return [record.value for record in ModelLog(bus).records()]


def test_what_is_appended_is_linked_and_found_again(bus: MemoryBus) -> None:
    log = ModelLog(bus)
    first = log.append(lambda _: [model_event("registered", 1), model_event("promoted", 1)])
    second = log.append(lambda history: [model_event("refused", len(history.events))])
    assert [event.previous_digest for event in (*first, *second)] == [None, *map(link, filter(None, values(bus)[:2]))]
    assert first_broken_link(values(bus), ModelEvent) is None
    history = log.history()
    assert history.events == (*first, *second)
    champion = history.champion("fraud")
    assert champion is not None
    assert champion.event_id == first[1].event_id


def test_a_rollback_is_in_force_and_a_persons_word_is_no_run(bus: MemoryBus) -> None:
    log = ModelLog(bus)
    log.append(lambda _: [model_event("promoted", 1), model_event("promoted", 2)])
    log.append(lambda _: [model_event("rolled_back", 1, actor="ada")])
    champion = log.history().champion("fraud")
    assert champion is not None
    assert champion.model_version == 1
    assert log.history().last_run("fraud") == champion.occurred_at
    assert History((champion,)).last_run("fraud") is None


def test_who_has_nothing_to_add_or_thinks_better_of_it_writes_nothing(bus: MemoryBus) -> None:
    def refuse(_: History) -> list[ModelEvent]:
        raise LookupError("there is no such version")

    assert ModelLog(bus).append(lambda _: []) == []
    with pytest.raises(LookupError, match="no such version"):
        ModelLog(bus).append(refuse)
    assert values(bus) == []


@pytest.mark.parametrize("fields", [{"reason": "x" * 5_000}, {"metrics": {"recall": float("nan")}}])
def test_what_nobody_could_read_is_not_written(bus: MemoryBus, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRecordError):
        ModelLog(bus).append(lambda _: [model_event("registered"), model_event("promoted", **fields)])
    assert values(bus) == []


def test_who_was_overtaken_decides_anew_from_what_the_other_wrote(bus: MemoryBus) -> None:
    log, seen = ModelLog(bus, sleep=lambda _: None), []

    def second_best(history: History) -> Sequence[ModelEvent]:
        seen.append(len(history.events))
        if len(seen) == 1:
            ModelLog(bus).append(lambda _: [model_event("promoted", 1)])
        return [] if history.events else [model_event("promoted", 2)]

    assert log.append(second_best) == []
    assert seen == [0, 1]
    assert [event.model_version for event in log.history().events] == [1]


def test_a_log_that_is_always_taken_is_given_up_with_nothing_written(bus: MemoryBus) -> None:
    def overtaken(_: History) -> Sequence[ModelEvent]:
        bus.sole_writer(MODELS.name)
        return [model_event("promoted")]

    pauses: list[float] = []
    with pytest.raises(BusUnavailableError, match="another process"):
        ModelLog(bus, sleep=pauses.append).append(overtaken)
    assert len(pauses) == ATTEMPTS_MAX - 1
    assert values(bus) == []


def test_noise_on_the_topic_is_passed_over_and_followed(bus: MemoryBus) -> None:
    log = ModelLog(bus)
    log.append(lambda _: [model_event("promoted", 1)])
    bus.publisher().send(Outgoing(MODELS.name, b"fraud", b"noise"))
    (after,) = log.append(lambda history: [model_event("promoted", len(history.events) + 1)])
    assert after.model_version == 2
    assert after.previous_digest == link(b"noise")


@pytest.mark.servers
def test_two_writers_at_once_make_one_chain(kafka_servers: str) -> None:
    with contextlib.closing(KafkaBus(kafka_servers, partitions=1)) as bus:
        bus.create_topics(TOPICS)
        ModelLog(bus).append(lambda _: [model_event("registered")])
        before = len(values(bus))

        def write(name: str) -> None:
            with contextlib.closing(KafkaBus(kafka_servers, partitions=1)) as own:
                for number in range(APPENDS):
                    ModelLog(own).append(lambda _, n=number: [model_event("refused", name=f"{name} {n}")])  # type: ignore[misc]

        threads = [threading.Thread(target=write, args=(name,)) for name in ("one", "other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log, raw = ModelLog(bus).history(), values(bus)
        added = log.events[-2 * APPENDS :]
        assert len(raw) == before + 2 * APPENDS
        assert len({event.event_id for event in added}) == 2 * APPENDS
        chained = [(earlier, event) for earlier, event in zip(raw[before - 1 :], added, strict=False)]
        assert all(event.previous_digest == link(earlier or b"") for earlier, event in chained)
