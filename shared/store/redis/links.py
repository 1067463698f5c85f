"""Connections that carry whole batches: one write, then every reply.

redis-py finds the server, connects, encrypts and authenticates. Its pool and its pipeline are left out, because they
cost more than the server's work: 50 microseconds a call and 10 a command.
"""

import os
from typing import Any

import hiredis
import redis
from redis.connection import DefaultParser

from shared.store.redis.errors import LOST

# hiredis moves what is left of its buffer for every reply it takes out, so a large buffer costs more than small reads.
_READ_BYTES = 32 * 1024
_INCOMPLETE = object()


class Link:
    """One connection, for one caller at a time: `send`, then `receive`.

    A call that fails closes the connection, so no reply of an earlier call is ever taken for one of a later call.
    Where a connection kept from an earlier call turns out to be cut, the batch is sent once more on a new one.
    """

    def __init__(self, connection: Any) -> None:
        """Take a redis-py connection; it connects at the first `send`."""
        self._connection = connection
        self._buffer = bytearray(_READ_BYTES)
        self._request = b""
        self._awaited = 0
        self._reused = False

    @property
    def of_this_process(self) -> bool:
        """Tell whether this process made the link; a forked child must not use its parent's."""
        return bool(self._connection.pid == os.getpid())

    def send(self, request: bytes, replies: int) -> None:
        """Write a packed batch that will be answered by `replies` replies."""
        self._request, self._awaited = request, replies
        self._reused = self._connection.is_connected
        try:
            self._connection.send_packed_command([request])
        except LOST:
            if not self._reused:
                raise
            self.close()
            self.send(request, replies)

    def receive(self) -> list[Any]:
        """Return the replies to the batch sent; what the server refused stands there as an exception."""
        try:
            replies = self._read()
        except LOST:
            self._connection.disconnect()
            if not self._reused:
                raise
            self.send(self._request, self._awaited)
            return self.receive()
        except BaseException:
            self.close()
            raise
        self._request, self._awaited = b"", 0
        return replies

    def exchange(self, request: bytes, replies: int) -> list[Any]:
        """Send a packed batch and return its replies."""
        self.send(request, replies)
        return self.receive()

    def settle(self) -> None:
        """Close the connection if replies are still to come."""
        if self._awaited:
            self.close()

    def close(self) -> None:
        """Let go of the connection; the next `send` makes a new one."""
        self._request, self._awaited = b"", 0
        self._connection.disconnect()

    def _read(self) -> list[Any]:
        # redis-py gives one reply at a time, which costs three times as much; there is no public way to its socket.
        socket = self._connection._sock
        if socket is None:
            raise redis.ConnectionError("the connection was closed meanwhile")
        reader: Any = hiredis.Reader(
            protocolError=redis.InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE
        )
        buffer = self._buffer
        replies: list[Any] = []
        receive_into, feed, next_reply, add = socket.recv_into, reader.feed, reader.gets, replies.append
        while len(replies) < self._awaited:
            size = receive_into(buffer)
            if size == 0:
                raise redis.ConnectionError("the server closed the connection")
            feed(buffer, 0, size)
            while (reply := next_reply()) is not _INCOMPLETE:
                add(reply)
        if len(replies) > self._awaited or reader.has_data():
            raise redis.InvalidResponse(f"more replies than the {self._awaited} that were asked for")
        return replies


class Links:
    """The links to one server; as many as there are callers at once."""

    def __init__(self, pool: Any) -> None:
        """Take a redis-py connection pool, which makes the connections."""
        self._pool = pool
        self._idle: list[Link] = []

    def take(self) -> Link:
        """Return a link for the caller alone; `give_back` ends that."""
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if link.of_this_process:
                return link
        return Link(self._pool.make_connection())

    def give_back(self, link: Link) -> None:
        """Let others use a link taken before."""
        link.settle()
        self._idle.append(link)

    def exchange(self, request: bytes, replies: int) -> list[Any]:
        """Send a packed batch over a link of its own and return its replies."""
        link = self.take()
        try:
            return link.exchange(request, replies)
        finally:
            self.give_back(link)

    def close(self) -> None:
        """Close every link that nobody uses now."""
        while self._idle:
            self._idle.pop().close()
