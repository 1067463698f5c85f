"""Free ports on the loopback interface."""

import contextlib
import random
import socket
from collections.abc import Sequence

LOOPBACK = "127.0.0.1"

# Below the ports that operating systems give to outgoing connections (32768 and up on Linux): a client that tries
# before the server is there can then neither take the server's port nor connect to itself.
_FREE_PORTS = range(20_000, 32_000)
_ATTEMPTS_MAX = 200


class NoFreePortError(Exception):
    """No free port was found; something on this machine holds thousands of them."""


def choose_ports(preferred: Sequence[int | None]) -> list[int]:
    """Return one free port for each entry, all different: the preferred one where there is one and it is free.

    Raises:
        NoFreePortError: no free port was found.
    """
    with contextlib.ExitStack() as held:
        return [_hold(port, held) for port in preferred]


def _hold(preferred: int | None, held: contextlib.ExitStack) -> int:
    """Keep a free port taken until all are chosen, so that no two are the same."""
    candidates = random.sample(_FREE_PORTS, _ATTEMPTS_MAX)
    if preferred is not None:
        candidates.insert(0, preferred)
    for port in candidates:
        if listening(port):
            continue
        bound = held.enter_context(socket.socket())
        # As servers bind; a port whose last connections are still closing is free.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((LOOPBACK, port))
            bound.listen()  # only this keeps a second socket from binding the same port
        except OSError:
            continue
        return port
    raise NoFreePortError(f"no free port between {_FREE_PORTS.start} and {_FREE_PORTS.stop} on {LOOPBACK}")


def listening(port: int) -> bool:
    """Tell whether something on this machine accepts connections on `port`."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True
