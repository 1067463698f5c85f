"""What the processes of a platform say about themselves over HTTP, and what each topic holds."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import httpx

from services.local.discovery import url_variable
from services.local.processes import http_problem
from services.local.replicas import service_of
from shared.bus.base import Bus
from shared.contracts.topics import TOPICS, Topic
from shared.runtime.metrics.exposition import parse_exposition

_HTTP_SECONDS_MAX = 5.0
# A group that never commits lags behind by all there is.
_COUNTING_GROUP = "headrace-cli-inspection"


class Scrape:
    """What one process had on /metrics at one moment."""

    def __init__(self, text: str = "") -> None:
        """Read Prometheus' text format."""
        self._by_name: dict[str, list[tuple[dict[str, str], float]]] = {}
        for sample in parse_exposition(text):
            self._by_name.setdefault(sample.name, []).append((sample.labels, sample.value))

    def each(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        """Yield labels and value of every sample of that name."""
        return iter(self._by_name.get(name, ()))

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum over the samples that have these labels; None where there are none."""
        found = [value for own, value in self.each(name) if labels.items() <= own.items()]
        return sum(found) if found else None


class Process(NamedTuple):
    """One process of a service; problem: what keeps it from being ready, or None."""

    name: str
    service: str
    base_url: str
    problem: str | None
    scrape: Scrape


class TopicSize(NamedTuple):
    """One topic as it is on the log; `records` counts a transaction's marker like a record."""

    topic: Topic
    partitions: int | None
    records: int | None


def inspect_processes(urls: Mapping[str, str | None]) -> list[Process]:
    """Ask every process how it is, all at once; one whose address is not known, or that does not answer, is not ready.

    urls: as discovery.process_urls returns them.
    """
    with httpx.Client(timeout=_HTTP_SECONDS_MAX) as client, ThreadPoolExecutor(max_workers=len(urls)) as pool:
        return list(pool.map(partial(_process, client), urls.keys(), urls.values()))


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


def _process(client: httpx.Client, name: str, base_url: str | None) -> Process:
    service = service_of(name)
    if base_url is None:
        return Process(name, service, "", f"its address is not known: set {url_variable(service)}", Scrape())
    problem = http_problem(base_url, get=client.get)
    try:
        answer = client.get(f"{base_url}/metrics").raise_for_status()
        return Process(name, service, base_url, problem, Scrape(answer.text))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Process(name, service, base_url, problem or f"{base_url}/metrics cannot be read: {error}", Scrape())
