"""One Redis server for callers on an event loop: one connection, everybody's batches one behind the other.

redis-py finds the server, connects, encrypts and authenticates; then the connection is read here, because its own way
costs more than the server's work. Replies come in the order of the questions, so a question that was given up keeps
its place until its replies have come, or the connection is closed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import hiredis
import redis
from redis.asyncio import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import DefaultParser
from redis.retry import Retry

from shared.runtime import metrics
from shared.store.base import StoreTimeoutError
from shared.store.redis import requests
from shared.store.redis.errors import accepted, translated

log = logging.getLogger(__name__)

# As in links.py: what is left of a reader's buffer is moved for every reply taken out.
_FEED_BYTES = 32 * 1024
_INCOMPLETE = object()
_FIRST_PAUSE_SECONDS = 0.05
_PAUSE_SECONDS_MAX = 1.0


class _Question(NamedTuple):
    """What waits for replies: how many, since when (the loop's time), and whom they are for."""

    replies: int
    since_seconds: float
    answer: "asyncio.Future[list[Any]]"


class _Wire(asyncio.Protocol):
    """A connection that is up."""

    def __init__(
        self, connection: Any, *, silence_seconds_max: float, on_lost: Callable[[Exception, bool], None]
    ) -> None:
        """Take over a redis-py connection.

        silence_seconds_max: the connection is given up when a question waits longer.
        on_lost: told once, what happened and whether the server had fallen silent.
        """
        self._loop = asyncio.get_running_loop()
        # Held on to: redis-py closes what nobody holds.
        self._connection = connection
        self._transport: Any = connection._writer.transport  # there is no public way to it
        self._transport.set_protocol(self)
        self._silence_seconds_max = silence_seconds_max
        self._on_lost = on_lost
        self._reader: Any = hiredis.Reader(
            protocolError=redis.InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE
        )
        self._questions: deque[_Question] = deque()
        self._replies: list[Any] = []
        self._unsent: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._lost = False

    def ask(self, request: bytes, replies: int) -> "asyncio.Future[list[Any]]":
        """Send a packed batch with whatever else is asked before the loop's next turn."""
        question = _Question(replies, self._loop.time(), self._loop.create_future())
        self._questions.append(question)
        self._unsent.append(request)
        if len(self._unsent) == 1:
            self._loop.call_soon(self._send)
        if self._watch is None:
            self._watch = self._loop.call_later(self._silence_seconds_max, self._look)
        return question.answer

    def data_received(self, data: bytes) -> None:
        """Hand out the replies that are whole now."""
        try:
            for at in range(0, len(data), _FEED_BYTES):
                self._reader.feed(data, at, min(_FEED_BYTES, len(data) - at))
                while (reply := self._reader.gets()) is not _INCOMPLETE:
                    self._hand_out(reply)
        except redis.RedisError as error:
            self.lose(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail every question that waits."""
        self.lose(exc or redis.ConnectionError("the server closed the connection"))

    def lose(self, error: Exception, *, is_silent: bool = False) -> None:
        """Close the connection and fail every question that waits."""
        if self._lost:
            return
        self._lost = True
        if self._watch is not None:
            self._watch.cancel()
        self._transport.abort()
        self._connection._close()
        for question in self._questions:
            if not question.answer.done():
                question.answer.set_exception(redis.ConnectionError(str(error)))
                question.answer.exception()  # whoever asked may be gone
        self._on_lost(error, is_silent)

    def _hand_out(self, reply: Any) -> None:
        if not self._questions:
            raise redis.InvalidResponse("a reply that nobody asked for")
        self._replies.append(reply)
        if len(self._replies) == self._questions[0].replies:
            answer = self._questions.popleft().answer
            if not answer.done():
                answer.set_result(self._replies)
            self._replies = []

    def _send(self) -> None:
        request, self._unsent = b"".join(self._unsent), []
        if not self._lost:
            self._transport.write(request)

    def _look(self) -> None:
        self._watch = None
        if not self._questions:
            return
        left_seconds = self._questions[0].since_seconds + self._silence_seconds_max - self._loop.time()
        if left_seconds > 0:
            self._watch = self._loop.call_later(left_seconds, self._look)
        else:
            self.lose(redis.TimeoutError(f"silent for {self._silence_seconds_max} s"), is_silent=True)


class MultiplexedStore:
    """Connects when it is first asked, and again whenever it has to.

    While the server is known to be away, or to be silent, calls fail at once; it is looked for meanwhile.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Name the server as for RedisStore; it is taken for away once it was silent for `timeout_seconds`."""
        self._timeout_seconds = timeout_seconds
        self._pool: Any = ConnectionPool.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._attempt: asyncio.Future[None] | None = None
        self._away: Exception | None = None
        self._closed = False

    async def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta, seconds_max: float
    ) -> list[bytes]:
        commands = requests.append_and_read(appends, reads, expire_after)
        if not commands:
            return []
        request = b"".join([packed for _, packed in commands])
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            with translated():
                replies = accepted(await self._answered(request, len(commands), started + seconds_max))
        finally:
            metrics.REDIS_CALL_SECONDS.observe(loop.time() - started)
        return [reply or b"" for reply in replies[len(replies) - len(reads) :]]

    def close(self) -> None:
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._wire is not None:
            self._wire.lose(redis.ConnectionError("closed"))

    async def _answered(self, request: bytes, replies: int, until: float) -> list[Any]:
        """Return the replies, asking once more where the connection was cut; raises as `_asked`."""
        try:
            return await self._asked(request, replies, until)
        except redis.ConnectionError:
            if self._away is not None:
                raise
            # Appends may stand twice now, as the port says.
            return await self._asked(request, replies, until)

    async def _asked(self, request: bytes, replies: int, until: float) -> list[Any]:
        """Return the replies; raises redis.ConnectionError, and StoreTimeoutError at the loop's time `until`."""
        wire = self._wire or await self._connected(until)
        answer = wire.ask(request, replies)
        overdue = asyncio.get_running_loop().call_at(until, _give_up, answer)
        try:
            return await answer
        finally:
            overdue.cancel()

    async def _connected(self, until: float) -> _Wire:
        """Return the connection once there is one; raises as `_asked`, at once while none is to be had."""
        self._start_connecting()
        if self._away is None and self._attempt is not None:
            left_seconds = max(0.0, until - asyncio.get_running_loop().time())
            await asyncio.wait([self._attempt], timeout=left_seconds)
        if self._wire is not None:
            return self._wire
        if self._away is not None:
            raise redis.ConnectionError(str(self._away))
        raise StoreTimeoutError("Redis was not connected in time")

    def _start_connecting(self) -> None:
        if self._connecting is None and not self._closed:
            self._attempt = asyncio.get_running_loop().create_future()
            self._connecting = asyncio.create_task(self._connect(self._attempt))

    async def _connect(self, first_attempt: "asyncio.Future[None]") -> None:
        """Connect, however often that must be tried; the first attempt's end is told."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        try:
            while not await self._try_to_connect():
                if not first_attempt.done():
                    first_attempt.set_result(None)
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _PAUSE_SECONDS_MAX)
        finally:
            self._connecting = None
            if not first_attempt.done():
                first_attempt.set_result(None)

    async def _try_to_connect(self) -> bool:
        connection = self._pool.make_connection()
        try:
            await connection.connect()
        except (redis.RedisError, OSError) as error:
            self._note(error)
            return False
        self._wire = _Wire(connection, silence_seconds_max=self._timeout_seconds, on_lost=self._on_lost)
        self._note(None)
        return True

    def _on_lost(self, error: Exception, is_silent: bool) -> None:
        self._wire = None
        if is_silent:
            self._note(error)
        self._start_connecting()

    def _note(self, error: Exception | None) -> None:
        was_away, self._away = self._away, error
        if error is not None and was_away is None:
            log.warning("Redis does not answer: %s", error)
        elif error is None and was_away is not None:
            log.info("Redis answers again")


def _give_up(answer: "asyncio.Future[list[Any]]") -> None:
    if not answer.done():
        answer.set_exception(StoreTimeoutError("Redis did not answer in time"))
