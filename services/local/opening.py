"""Which platform this machine gets: processes on real servers, or one process on the in-memory bus."""

from collections.abc import Mapping
from pathlib import Path

from services.local.errors import ServerUnavailableError
from services.local.platform import LocalPlatform, Platform
from services.local.supervisor import Say


def open_platform(
    home: Path,
    settings: Mapping[str, str] | None = None,
    *,
    say: Say,
    preferred_ports: Mapping[str, int] | None = None,
    detached: bool = False,
) -> LocalPlatform:
    """Return a platform, not started; say in one line why, where it has to do without a broker.

    Raises:
        BrokerJarsError: the broker is there, but it is not the pinned one.
    """
    platform = Platform(home, settings, preferred_ports=preferred_ports, detached=detached)
    try:
        platform.prepare(say)
    except ServerUnavailableError as error:
        say(f"{error}. Everything runs in this one process instead, on the in-memory bus")
        # Loads every service, scikit-learn included, into this process: only where it must.
        from services.local.inprocess import InProcessPlatform  # noqa: PLC0415

        return InProcessPlatform(home, settings, preferred_ports=preferred_ports)
    return platform
