"""Which platform this machine gets: processes on real servers, or one process on the in-memory bus."""

from collections.abc import Mapping
from pathlib import Path

from services.local.errors import PlatformError, ServerUnavailableError
from services.local.platform import LocalPlatform, Platform
from services.local.supervisor import Say


def open_platform(  # noqa: PLR0913 - all but the home can be left out
    home: Path,
    settings: Mapping[str, str] | None = None,
    *,
    say: Say,
    replicas: Mapping[str, int] | None = None,
    preferred_ports: Mapping[str, int] | None = None,
    watched: bool = False,
    detached: bool = False,
) -> LocalPlatform:
    """Return a platform, not started; say in one line why, where it has to do without a broker.

    Raises:
        BrokerJarsError: the broker is there, but it is not the pinned one.
        PlatformError: there cannot be so many `replicas`, or not in one process.
    """
    platform = Platform(
        home, settings, replicas=replicas, preferred_ports=preferred_ports, watched=watched, detached=detached
    )
    try:
        platform.prepare(say)
    except ServerUnavailableError as error:
        if replicas:
            raise PlatformError(f"{error}. Without a broker there is one process, and no replicas") from error
        say(f"{error}. Everything runs in this one process instead, on the in-memory bus")
        # Loads every service, scikit-learn included, into this process: only where it must.
        from services.local.inprocess import InProcessPlatform  # noqa: PLC0415

        return InProcessPlatform(home, settings, preferred_ports=preferred_ports)
    return platform
