"""What entities cost in Redis: a server filled with a stated mix, grown as the services grow it, one kind at a time."""

import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import hiredis
import numpy as np
import redis
from rich.progress import track

from services.local.ports import LOOPBACK, choose_ports
from services.local.redis import RedisServer, find_redis
from services.local.supervisor import Supervisor
from shared.features.definitions import Entity
from shared.features.state import RECORD_BYTES, entity_key
from shared.recommendation import history
from shared.recommendation.history import history_key, profile_key
from tests.benchmarks.served_model import console

READY_SECONDS_MAX = 60.0
LIFETIME_MS = 38 * 86_400_000
WRITTEN_AT_ONCE = 2_000
PROFILE_BYTES = 250


class Kind(NamedTuple):
    """One kind of entity in the mix.

    per_card: how many there are for each card. records_mean: how many records of record_bytes one has, geometrically
        distributed and never more than records_max.
    """

    name: str
    per_card: float
    records_mean: float
    record_bytes: int
    records_max: int = 3_072

    def key(self, number: int) -> str:
        """Return the store's key of one."""
        spread = number * 0x9E3779B97F4A7C15  # as the hash of an id would be
        if self.name == "history":
            return history_key(str(number))
        return profile_key(str(number)) if self.name == "profile" else entity_key(Entity(self.name), spread)


MIX = (
    Kind("card", 1.0, 30, RECORD_BYTES),
    Kind("device", 1.2, 25, RECORD_BYTES),
    Kind("user", 1.0, 30, RECORD_BYTES),
    Kind("merchant", 0.02, 1_500, RECORD_BYTES),
    Kind("history", 0.5, 60, history.RECORD_BYTES, history.RECORDS_MAX),
    Kind("profile", 0.5, 1, PROFILE_BYTES, 1),
)
"""A card pays once a day, so has 30 payments in its longest window; half the users also shop, with 60 interactions."""


class Filled(NamedTuple):
    """What a kind took up: how many keys of how many records, and bytes of Redis for each key, everything included."""

    keys: int
    records: int
    bytes_each: float


def filled(cards: int) -> dict[str, Filled]:
    """Return what each kind of the mix takes up for so many cards."""
    supervisor = Supervisor()
    with tempfile.TemporaryDirectory() as folder:
        port = choose_ports([None])[0]
        server = RedisServer(Path(folder), binary=find_redis(), port=port, log_path=Path(folder) / "redis.log")
        try:
            supervisor.start(server)
            supervisor.wait_ready([server], seconds_max=READY_SECONDS_MAX, say=lambda _: None)
            return {kind.name: _filled_with(kind, cards, port) for kind in MIX}
        finally:
            supervisor.stop()


def growth_steps(records: int) -> list[int]:
    """Return how many records to append at a time so that the server's memory grows as with one at a time.

    It makes room for twice as much whenever a value has to grow (sdsMakeRoomFor of Redis and Valkey): what fits into
    the room that is there may come at once.
    """
    steps, length, room = [1], 1, 1
    while length < records:
        if length == room:
            room = 2 * (length + 1)
            steps.append(1)
        else:
            steps.append(min(room, records) - length)
        length += steps[-1]
    return steps


def _filled_with(kind: Kind, cards: int, port: int) -> Filled:
    chance = np.random.default_rng(1)
    count = max(1, round(cards * kind.per_card))
    records = np.minimum(chance.geometric(1 / kind.records_mean, count), kind.records_max).tolist()
    with closing(redis.Redis(port=port)) as client, socket.create_connection((LOOPBACK, port)) as connection:
        before = _used_bytes(client)
        connection.sendall(_command("CLIENT", "REPLY", "OFF"))
        firsts = range(0, count, WRITTEN_AT_ONCE)
        for first in track(firsts, f"{count:,} of {kind.name}", console=console, transient=True):
            part = enumerate(records[first : first + WRITTEN_AT_ONCE], start=first)
            connection.sendall(b"".join(command for number, size in part for command in _commands(kind, number, size)))
        connection.sendall(_command("CLIENT", "REPLY", "ON"))
        connection.recv(16)  # it has done all that went before
        return Filled(count, sum(records), (_used_bytes(client) - before) / count)


def _commands(kind: Kind, number: int, records: int) -> Iterator[bytes]:
    key = kind.key(number)
    for step in growth_steps(records):
        yield _command("APPEND", key, bytes(step * kind.record_bytes))
    yield _command("PEXPIRE", key, LIFETIME_MS)


def _command(*words: Any) -> bytes:
    packed: bytes = hiredis.pack_command(words)
    return packed


def _used_bytes(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def bytes_per_card(kinds: dict[str, Filled]) -> float:
    """Return what a card costs with all that the mix has for it."""
    return sum(kind.per_card * kinds[kind.name].bytes_each for kind in MIX)
