"""Finding a running platform: the environment first, then what `headrace up` left behind."""

import os
from collections.abc import Mapping
from pathlib import Path

from services.local.addresses import KAFKA_VARIABLE, REDIS_VARIABLE, SERVICES, Addresses
from services.local.errors import PlatformError
from services.local.replicas import process_name, replicas_of
from services.local.state import read_state


def discover(home: Path, environment: Mapping[str, str] = os.environ) -> Addresses:
    """Return the addresses that are known, service by service.

    Looks at KAFKA_BOOTSTRAP_SERVERS, REDIS_URL and HEADRACE_<SERVICE>_URL, then at the state file of `home`. Of several
    replicas, this is the first.

    Raises:
        PlatformError: nothing is known at all.
    """
    state = read_state(home)
    left = state.addresses if state else Addresses(kafka=None, redis=None, services={})
    urls = {name: next(iter(_given(name, environment)), left.services.get(name)) for name in SERVICES}
    addresses = Addresses(
        kafka=environment.get(KAFKA_VARIABLE) or left.kafka,
        redis=environment.get(REDIS_VARIABLE) or left.redis,
        services={name: url for name, url in urls.items() if url},
        prometheus=left.prometheus,
    )
    if not (addresses.kafka or addresses.services):
        raise PlatformError(
            f"no platform runs from {home.resolve()}: start one with `headrace up`, or point to one with "
            f"{KAFKA_VARIABLE} and {url_variable('<service>')}"
        )
    return addresses


def process_urls(home: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Return the base URL of every process by its name, replicas too, in the order of the data's way.

    A service of which no process is known stands there with None.
    """
    state = read_state(home)
    left = state.addresses.services if state else {}
    found: dict[str, str | None] = {}
    for service in SERVICES:
        given = {process_name(service, at): url for at, url in enumerate(_given(service, environment), 1)}
        here = {name: left[name] for name in replicas_of(service, left)}
        found.update(given or here or dict.fromkeys([service]))
    return found


def _given(service: str, environment: Mapping[str, str]) -> list[str]:
    """Return the base URLs that the environment names, of one replica each."""
    urls = environment.get(url_variable(service), "").split(",")
    return [url.strip().rstrip("/") for url in urls if url.strip()]


def url_variable(service: str) -> str:
    """Return the name of the environment variable that holds a service's base URL, or those of its replicas."""
    return f"HEADRACE_{service.upper()}_URL"
