"""Where the parts of a platform answer."""

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
}
KAFKA_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
REDIS_VARIABLE = "REDIS_URL"


class Addresses(Struct, frozen=True, kw_only=True):
    """Where everything answers; `kafka` and `redis` are None where this process's memory stands in for them.

    services: base URL by service name, in the order of the data's way.
    """

    kafka: str | None
    redis: str | None
    services: dict[str, str]
