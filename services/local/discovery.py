"""Finding a running platform: the environment first, then what `headrace up` left behind."""

import os
from collections.abc import Mapping
from pathlib import Path

from services.local.addresses import KAFKA_VARIABLE, REDIS_VARIABLE, SERVICES, Addresses
from services.local.errors import PlatformError
from services.local.state import read_state


def discover(home: Path, environment: Mapping[str, str] = os.environ) -> Addresses:
    """Return the addresses that are known, service by service.

    Looks at KAFKA_BOOTSTRAP_SERVERS, REDIS_URL and HEADRACE_<SERVICE>_URL, then at the state file of `home`.

    Raises:
        PlatformError: nothing is known at all.
    """
    state = read_state(home)
    left = state.addresses if state else Addresses(kafka=None, redis=None, services={})
    urls = {name: environment.get(url_variable(name)) or left.services.get(name) for name in SERVICES}
    addresses = Addresses(
        kafka=environment.get(KAFKA_VARIABLE) or left.kafka,
        redis=environment.get(REDIS_VARIABLE) or left.redis,
        services={name: url for name, url in urls.items() if url},
    )
    if not (addresses.kafka or addresses.services):
        raise PlatformError(
            f"no platform runs from {home.resolve()}: start one with `headrace up`, or point to one with "
            f"{KAFKA_VARIABLE} and {url_variable('<service>')}"
        )
    return addresses


def url_variable(service: str) -> str:
    """Return the name of the environment variable that holds a service's base URL."""
    return f"HEADRACE_{service.upper()}_URL"
