"""What a running platform says about itself: readiness, lag, models, topics, dead letters."""

import contextlib
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import httpx

from services.local.addresses import SERVICES, Addresses
from services.local.discovery import url_variable
from services.local.processes import http_problem
from shared.bus.base import Bus, Record, Tail
from shared.contracts import codec
from shared.contracts.events import DeadLetter
from shared.contracts.topics import TOPICS, Topic, dead_letter_names
from shared.runtime.metrics.exposition import parse_exposition

_WAIT_SECONDS = 0.2
_HTTP_SECONDS_MAX = 5.0
# A group that never commits lags behind by all there is.
_COUNTING_GROUP = "headrace-cli-inspection"


class LoopLag(NamedTuple):
    """How far one consumer group is behind, as the service itself sees it."""

    group: str
    records: int


@dataclass(frozen=True)
class ServiceStatus:
    """One service; `problem` is None when it is ready."""

    name: str
    base_url: str
    problem: str | None
    lags: tuple[LoopLag, ...] = ()
    model_versions: tuple[tuple[str, int], ...] = ()


class TopicSize(NamedTuple):
    """One topic as it is on the log; `records` counts a transaction's marker like a record."""

    topic: Topic
    partitions: int | None
    records: int | None


def service_statuses(addresses: Addresses) -> list[ServiceStatus]:
    """Ask every service how it is; one whose address is not known is not ready."""
    return [
        _service_status(name, addresses.services[name])
        if name in addresses.services
        else ServiceStatus(name, "", f"its address is not known: set {url_variable(name)}")
        for name in SERVICES
    ]


def dead_letter_counts(bus: Bus) -> dict[str, int]:
    """Return how many dead letters each dead-letter topic holds, those without any included."""
    counts: Counter[str] = Counter(dict.fromkeys(dead_letter_names(), 0))
    with contextlib.closing(bus.tail(list(counts), start="oldest")) as tail:
        for records in _to_the_end(tail):
            counts.update(record.topic for record in records)
    return dict(counts)


def topic_sizes(bus: Bus) -> list[TopicSize]:
    """Return every topic with its partitions and records; raises BusUnavailableError, also where one is missing."""
    places = bus.group_lag(_COUNTING_GROUP, [topic.name for topic in TOPICS])
    return [
        TopicSize(
            topic,
            sum(place.topic == topic.name for place in places),
            sum(count for place, count in places.items() if place.topic == topic.name),
        )
        for topic in TOPICS
    ]


def newest_dead_letters(bus: Bus, topic: Topic, *, count_max: int) -> list[DeadLetter]:
    """Return the newest rejected records of `topic`, oldest first."""
    newest: deque[DeadLetter] = deque(maxlen=count_max)
    with contextlib.closing(bus.tail([topic.dead_letter_name], start="oldest")) as tail:
        for records in _to_the_end(tail):
            newest.extend(codec.decode(DeadLetter, record.value) for record in records if record.value is not None)
    return list(newest)


def _to_the_end(tail: Tail) -> Iterator[list[Record]]:
    while not tail.caught_up():
        yield tail.poll(wait_seconds=_WAIT_SECONDS)


def _service_status(name: str, base_url: str) -> ServiceStatus:
    problem = http_problem(base_url)
    try:
        answer = httpx.get(f"{base_url}/metrics", timeout=_HTTP_SECONDS_MAX)
    except httpx.HTTPError:
        return ServiceStatus(name, base_url, problem)  # said by the readiness probe already
    samples = parse_exposition(answer.text)
    return ServiceStatus(
        name,
        base_url,
        problem,
        lags=tuple(
            LoopLag(f"headrace-{sample.labels['service']}-{sample.labels['loop']}", int(sample.value))
            for sample in samples
            if sample.name == "headrace_loop_lag_records" and sample.labels["service"] == name
        ),
        model_versions=tuple(
            (sample.labels["model"], int(sample.value)) for sample in samples if sample.name == "headrace_model_version"
        ),
    )
