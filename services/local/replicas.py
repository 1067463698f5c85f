"""Several processes of one service: what each is called, and how it is told from the others."""

import socket
from collections.abc import Collection, Iterable, Mapping, Sequence

from services.local.errors import PlatformError

REPLICABLE = ("ingest", "features", "scoring")
"""Services that share their work out among any number of processes; training and drift are one process each."""


def check_replicas(replicas: Mapping[str, int], services: Collection[str], *, partitions: int) -> None:
    """Hold how many processes are asked for against what can be; `partitions`: of a topic.

    Raises:
        PlatformError: a service that is not among `services` or runs as one process only, a number below 1, or more
            than there are partitions to share out.
    """
    for service, count in replicas.items():
        if service not in services or service not in REPLICABLE:
            several = ", ".join(name for name in REPLICABLE if name in services) or "none here"
            raise PlatformError(f"{service} cannot have replicas; these can: {several}")
        if count < 1:
            raise PlatformError(f"{service} needs at least 1 replica, not {count}")
        if count > partitions and service != "ingest":
            raise PlatformError(
                f"{count} replicas of {service} cannot share {partitions} partitions: one would have nothing to read; "
                f"set HEADRACE_TOPIC_PARTITIONS before the topics are made"
            )


def process_names(services: Sequence[str], replicas: Mapping[str, int]) -> list[str]:
    """Return what every process is called, in the order of the services; one of each that `replicas` does not name."""
    return [process_name(service, number + 1) for service in services for number in range(replicas.get(service, 1))]


def process_name(service: str, number: int) -> str:
    """Return what a service's process is called, counted from 1: the first by the service's own name."""
    return service if number == 1 else f"{service}-{number}"


def service_of(process: str) -> str:
    """Return which service a process runs."""
    return process.partition("-")[0]


def replicas_of(service: str, processes: Iterable[str]) -> list[str]:
    """Return which of `processes` run a service."""
    return [process for process in processes if service_of(process) == service]


def instance_name(process: str, environment: Mapping[str, str]) -> str:
    """Return the HEADRACE_INSTANCE of a process: the same at every start, and another for each replica."""
    first = environment.get("HEADRACE_INSTANCE") or socket.gethostname()
    _, dash, number = process.partition("-")
    return f"{first}{dash}{number}"


def parse_replicas(text: str) -> dict[str, int]:
    """Return how many processes of which service are asked for, as in `features=2,scoring=2`.

    Raises:
        ValueError: it is not of that form.
    """
    counts: dict[str, int] = {}
    for entry in filter(None, text.split(",")):
        service, _, count = entry.partition("=")
        if not count.isdecimal() or service in counts:
            raise ValueError(f"{text!r} is not of the form features=2,scoring=2")
        counts[service] = int(count)
    return counts
