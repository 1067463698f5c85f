"""The way to a server, made slow or encrypted: its answers come after a delay, and over TLS where a context is given."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class SlowWay:
    """A TCP port in front of another one on this machine."""

    port: int = 0
    delay_seconds: float = 0.0

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        while data := await reader.read(65_536):
            if back:
                await asyncio.sleep(self.delay_seconds)
            writer.write(data)
        writer.close()


@contextmanager
def slow_way(to_port: int, *, tls: ssl.SSLContext | None = None) -> Iterator[SlowWay]:
    way = SlowWay()
    loop = asyncio.new_event_loop()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", to_port)
        forth = asyncio.ensure_future(way._carry(reader, to_writer, back=False))
        await way._carry(to_reader, writer, back=True)
        await forth

    server = loop.run_until_complete(asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls))
    way.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield way
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
