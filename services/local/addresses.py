"""Where the parts of a platform answer."""

from collections.abc import Iterator

from msgspec import Struct

SERVICES = ("ingest", "features", "scoring", "training", "drift")
"""Every service, in the order of the data's way."""
PREFERRED_PORTS = {
    "kafka": 9092,
    "redis": 6379,
    "ingest": 8001,
    "features": 8002,
    "scoring": 8003,
    "training": 8004,
    "drift": 8005,
    "prometheus": 9090,
}
KAFKA_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
REDIS_VARIABLE = "REDIS_URL"


class Addresses(Struct, frozen=True, kw_only=True):
    """Where everything answers; `kafka` and `redis` are None where this process's memory stands in for them.

    services: base URL by service name, in the order of the data's way.
    prometheus: base URL of the one that watches them; None where there is none.
    """

    kafka: str | None
    redis: str | None
    services: dict[str, str]
    prometheus: str | None = None


def shown_addresses(addresses: Addresses) -> Iterator[tuple[str, str]]:
    """Yield what a person may open, by name: the pages that describe a service, else its metrics."""
    yield "kafka", addresses.kafka or "in memory"
    yield "redis", addresses.redis or "in memory"
    for name, url in addresses.services.items():
        yield name, url + ("/docs" if name in {"ingest", "scoring"} else "/metrics")
    yield (
        "prometheus",
        addresses.prometheus or "not on the PATH: apt install prometheus, then `headrace up` runs it too",
    )
