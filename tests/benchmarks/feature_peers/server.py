"""A bare connection to a Redis-protocol server, and how a design that keeps its state there is timed.

No client library's own cost is in the way: commands are packed and replies parsed by hiredis, on one socket.
"""

import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import hiredis

from tests.benchmarks.feature_peers.workload import COMPARED, Payment, PeerResult, Vector

BATCH = 500
SINGLE_PAYMENTS = 2_000
"""Timed one by one, before the last batch."""
_RECEIVE_BYTES = 1 << 16

Command = tuple[str | bytes | int, ...]
Apply = Callable[[Sequence[Payment]], list[Vector]]


class Connection:
    """One socket; commands of a call go out together, and their replies come back in order."""

    def __init__(self, url: str) -> None:
        """Connect to `redis://host:port/0` or `unix:///path`."""
        address = urlsplit(url)
        if address.scheme == "unix":
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(address.path)
        else:
            self._socket = socket.create_connection((address.hostname, address.port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def call(self, commands: Sequence[Command]) -> list[Any]:
        """Return the reply of every command.

        Raises:
            hiredis.ReplyError: the server refused one of them.
        """
        # Its stub has a tuple of one word for a tuple of words.
        packed = (hiredis.pack_command(command) for command in commands)  # type: ignore[arg-type]
        self._socket.sendall(b"".join(packed))
        replies: list[Any] = []
        while len(replies) < len(commands):
            reply = self._reader.gets()
            if reply is False:
                received = self._socket.recv(_RECEIVE_BYTES)
                if not received:
                    raise ConnectionError("the server closed the connection")
                self._reader.feed(received)
                continue
            if isinstance(reply, hiredis.ReplyError):
                raise reply
            replies.append(reply)
        return replies

    def close(self) -> None:
        self._socket.close()


def timed(apply: Apply, payments: Sequence[Payment]) -> PeerResult:
    """Apply batches of 500, then single payments, then a last batch whose vectors are the ones kept.

    `seconds` is of the batches alone.
    """
    singles_to = max(1, len(payments) - BATCH)
    singles_from = max(0, singles_to - SINGLE_PAYMENTS)
    seconds = _batched(apply, payments[:singles_from], deque(maxlen=0))
    singles_us: list[float] = []
    for payment in payments[singles_from:singles_to]:
        started = time.perf_counter()
        apply([payment])
        singles_us.append((time.perf_counter() - started) * 1e6)
    last: deque[Vector] = deque(maxlen=COMPARED)
    seconds += _batched(apply, payments[singles_to:], last)
    singles_us.sort()
    p50, p99 = (singles_us[int(len(singles_us) * share)] for share in (0.5, 0.99))
    return PeerResult(len(payments) - len(singles_us), seconds, list(last), p50, p99)


def _batched(apply: Apply, payments: Sequence[Payment], last: deque[Vector]) -> float:
    started = time.perf_counter()
    remaining = iter(payments)
    while batch := list(islice(remaining, BATCH)):
        last.extend(apply(batch))
    return time.perf_counter() - started
