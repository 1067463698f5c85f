"""Requests to an HTTP/1.1 server and how long each took, made by a process of its own that costs less than any server.

Closed loop: every connection sends its next request when the answer to the one before is there. Open loop: requests go
out at a fixed rate, whatever has been answered, and one that had to wait for a connection counts its wait (Tene, "How
NOT to Measure Latency", 2015).
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import httptools
import msgspec
import numpy as np
import uvloop
from msgspec import Struct

HOST = "127.0.0.1"
ANSWER_SECONDS_MAX = 10.0
OPEN_LOOP_CONNECTIONS = 64
TIMER_SECONDS = 0.002
"""An event loop wakes up this late at most by itself, which is no wait of a request's."""


class LoadFailedError(Exception):
    """The process that makes the requests ended without a result."""


class Job(Struct, frozen=True, kw_only=True):
    """What to send: each of `requests` (head and body) at most once, in order, for `seconds_max` at most.

    per_second: of the open loop; None for the closed one.
    """

    port: int
    requests: Sequence[bytes]
    connections: int = OPEN_LOOP_CONNECTIONS
    seconds_max: float
    per_second: float | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of it.

    latencies_ms: of each answer with status 200, from its request's first byte (open loop: from when it was due) to
        its own last. answers: the bodies of the same. failures: every other request by what came of it.
    """

    latencies_ms: list[float]
    answers: list[bytes]
    failures: dict[str, int]
    seconds: float

    @property
    def per_second(self) -> float:
        """Return the requests answered with status 200 a second."""
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, share: float) -> float:
        """Return a percentile of the latencies; NaN where there are none."""
        return float(np.percentile(self.latencies_ms, share)) if self.latencies_ms else float("nan")


def post(path: str, body: bytes) -> bytes:
    """Return the bytes of a request with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str) -> bytes:
    """Return the bytes of a request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def run(job: Job) -> Outcome:
    """Do `job` in a process of its own.

    Raises:
        LoadFailedError: it could not connect, or failed otherwise.
    """
    with tempfile.NamedTemporaryFile() as found:
        command = [sys.executable, "-m", __spec__.name, found.name]
        child = subprocess.run(command, input=msgspec.msgpack.encode(job), capture_output=True, check=False)
        if child.returncode != 0:
            raise LoadFailedError(f"the load on port {job.port} failed: {child.stderr.decode()[-2_000:]}")
        return msgspec.msgpack.decode(found.read(), type=Outcome)


class _Connection(asyncio.Protocol):
    """One request at a time; opened again after it was lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: Any = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def opened(self) -> Self:
        await asyncio.get_running_loop().create_connection(lambda: self, HOST, self._port)
        return self

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return the answer's status and body; raises ConnectionError, and TimeoutError after ANSWER_SECONDS_MAX."""
        if self._transport is None:
            await self.opened()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[int, bytes]] = loop.create_future()
        self._answer = answer
        overdue = loop.call_later(ANSWER_SECONDS_MAX, self._give_up, answer)
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)
        try:
            return await answer
        finally:
            overdue.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("connection lost"))

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), self._body))

    def _give_up(self, answer: asyncio.Future[tuple[int, bytes]]) -> None:
        if not answer.done():
            answer.set_exception(TimeoutError(f"no answer within {ANSWER_SECONDS_MAX:.0f} s"))
        self.close()


class _Record:
    """Answers and failures as they come."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.answers: list[bytes] = []
        self.failures: Counter[str] = Counter()

    async def ask(self, connection: _Connection, request: bytes, since: float) -> None:
        """Send a request and note what comes of it; since: the time its latency counts from."""
        try:
            status, body = await connection.ask(request)
        except (OSError, TimeoutError, httptools.HttpParserError) as error:
            self.failures[str(error)] += 1
            return
        if status == HTTPStatus.OK:
            self.latencies_ms.append((time.perf_counter() - since) * 1000)
            self.answers.append(body)
        else:
            self.failures[f"status {status}"] += 1


async def _done(job: Job) -> Outcome:
    connections = [await _Connection(job.port).opened() for _ in range(job.connections)]
    record, requests = _Record(), iter(job.requests)
    started = time.perf_counter()
    until = started + job.seconds_max
    if job.per_second is None:
        await asyncio.gather(*(_closed_loop(connection, requests, record, until) for connection in connections))
    else:
        await _open_loop(connections, requests, record, started, until, job.per_second)
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return Outcome(
        latencies_ms=record.latencies_ms, answers=record.answers, failures=dict(record.failures), seconds=seconds
    )


async def _closed_loop(connection: _Connection, requests: Iterator[bytes], record: _Record, until: float) -> None:
    while (now := time.perf_counter()) < until and (request := next(requests, None)) is not None:
        await record.ask(connection, request, now)


async def _open_loop(
    connections: list[_Connection],
    requests: Iterator[bytes],
    record: _Record,
    started: float,
    until: float,
    per_second: float,
) -> None:
    idle: asyncio.Queue[_Connection] = asyncio.Queue()
    for connection in connections:
        idle.put_nowait(connection)

    async def ask(connection: _Connection, request: bytes, since: float) -> None:
        await record.ask(connection, request, since)
        idle.put_nowait(connection)

    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            due = started + number / per_second
            if due >= until:
                break
            await asyncio.sleep(due - time.perf_counter())
            now = time.perf_counter()
            since = now if now - due < TIMER_SECONDS else due
            group.create_task(ask(await idle.get(), request, since))


if __name__ == "__main__":
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    # Into a file: uvloop leaves standard output so that a long write to it may end early.
    Path(sys.argv[1]).write_bytes(msgspec.msgpack.encode(uvloop.run(_done(job))))
