"""What the benchmarks measure with: the load generator, and what a process used."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from services.local.ports import LOOPBACK, choose_ports
from tests.benchmarks.http_load import Job, LoadFailedError, post, run
from tests.benchmarks.process_usage import usage_of

BUSY_MB = 200
NESTED = f"import sys; held = bytearray(b'x') * {BUSY_MB}_000_000; print(flush=True); sys.stdin.read()"
PARENT = (
    "import subprocess, sys; "
    f"sys.exit(subprocess.Popen([sys.executable, '-c', {NESTED!r}], start_new_session=True).wait())"
)


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Run a server that answers what a request's path says; yield its port."""
    loop = asyncio.new_event_loop()
    serving = loop.run_until_complete(asyncio.start_server(_answer, LOOPBACK, 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield serving.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        serving.close()
        loop.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            kind = head.split()[1]
            if kind == b"/lost":
                writer.close()
                return
            if kind == b"/chunked":
                chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
                continue
            status = b"503 Service Unavailable" if kind == b"/busy" else b"200 OK"
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


def job(port: int, paths: list[str], *, connections: int = 1, per_second: float | None = None) -> Job:
    requests = [post(path, str(number).encode()) for number, path in enumerate(paths)]
    return Job(port=port, requests=requests, connections=connections, seconds_max=30, per_second=per_second)


def test_every_request_is_sent_once_and_only_good_answers_are_timed() -> None:
    with server() as port:
        found = run(job(port, ["/", "/busy", "/chunked", "/lost", "/"]))
    assert found.answers == [b"0", b"2", b"4"]
    assert len(found.latencies_ms) == 3
    assert found.failures == {"status 503": 1, "connection lost": 1}


@pytest.mark.parametrize("per_second", [None, 2_000.0], ids=["closed loop", "open loop"])
def test_connections_share_the_requests(per_second: float | None) -> None:
    with server() as port:
        found = run(job(port, ["/"] * 500, connections=4, per_second=per_second))
    assert sorted(found.answers) == sorted(str(number).encode() for number in range(500))
    assert found.failures == {}


def test_a_server_that_is_not_there_is_no_result() -> None:
    (port,) = choose_ports([None])
    with pytest.raises(LoadFailedError, match=str(port)):
        run(job(port, ["/"]))


def test_a_process_is_charged_for_what_it_started_in_whatever_session() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin
        assert parent.stdout
        parent.stdout.readline()
        used = usage_of(parent.pid)
        parent.stdin.close()
    assert used.resident_mb > BUSY_MB
    assert used.cpu_seconds > 0
