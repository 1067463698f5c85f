"""What is asked of a Redis server, packed as its protocol (RESP) wants it.

Every command is about one key. The hot ones are packed by byte formatting: half the cost of hiredis's own packing.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache

import hiredis

Command = tuple[str, bytes]
"""The key a command is about, and the packed command."""


def _packed(*words: str | bytes | int) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub allows one word only
    return packed


# The prefix does not travel: its length and digest say enough. Reading, comparing and writing must be one step.
_REPLACE_PREFIX = b"""
local length = tonumber(ARGV[1])
if redis.sha1hex(redis.call('GETRANGE', KEYS[1], 0, length - 1)) ~= ARGV[2] then return 0 end
local value = ARGV[3] .. redis.call('GETRANGE', KEYS[1], length, -1)
if value == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], value, 'KEEPTTL') end
return 1
"""
_REPLACE_PREFIX_SHA1 = hashlib.sha1(_REPLACE_PREFIX, usedforsecurity=False).hexdigest()
_SCAN_STEP = 1000

PING = _packed("PING")
ASKING = _packed("ASKING")


def append_and_read(
    appends: Sequence[tuple[str, bytes]], reads: Sequence[str], expire_after: timedelta
) -> list[Command]:
    """Return the commands for Store.append_and_read; the last `len(reads)` answer with the values."""
    lifetime, renewal = _renewal(expire_after)
    joined = _joined(appends)
    commands = []
    for key, value in joined.items():
        name = key.encode()
        packed = b"*3\r\n$6\r\nAPPEND\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(value), value)
        commands.append((key, packed))
    commands += [(key, _packed("PEXPIRE", key, lifetime)) for key in joined.keys() - set(reads)]
    for key in reads:
        name = key.encode()
        # One command where reading and renewing the time to live fall together.
        if key in joined:
            packed = b"*4\r\n$5\r\nGETEX\r\n$%d\r\n%b%b" % (len(name), name, renewal)
        else:
            packed = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name)
        commands.append((key, packed))
    return commands


def replace_prefix(key: str, prefix: bytes, replacement: bytes, *, send_script: bool) -> Command:
    """Return the command for Store.replace_prefix; without `send_script` the server must know the script already.

    Raises:
        ValueError: the prefix is empty.
    """
    if not prefix:
        raise ValueError(f"replacing a prefix of {key}: the prefix is empty; give the bytes to replace")
    script = ("EVAL", _REPLACE_PREFIX) if send_script else ("EVALSHA", _REPLACE_PREFIX_SHA1)
    digest = hashlib.sha1(prefix, usedforsecurity=False).hexdigest()
    return key, _packed(*script, 1, key, len(prefix), digest, replacement)


def patch(key: str, patches: Sequence[tuple[int, bytes]]) -> list[Command]:
    """Return the commands for Store.patch."""
    return [(key, _packed("SETRANGE", key, offset, value)) for offset, value in patches]


def set_if_absent(key: str, value: bytes, expire_after: timedelta) -> Command:
    """Return the command for Store.set_if_absent; it answers with the value there was."""
    lifetime, _ = _renewal(expire_after)
    return key, _packed("SET", key, value, "NX", "GET", "PX", lifetime)


def put(key: str, value: bytes, expire_after: timedelta | None) -> Command:
    """Return the command for Store.put."""
    if not value:
        return key, _packed("DEL", key)
    if expire_after is None:
        return key, _packed("SET", key, value)
    lifetime, _ = _renewal(expire_after)
    return key, _packed("SET", key, value, "PX", lifetime)


def scan(prefix: str, cursor: bytes) -> bytes:
    """Return the packed command that answers with the next cursor and some keys that begin with `prefix`."""
    pattern = "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in prefix) + "*"
    return _packed("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_STEP)


@lru_cache(maxsize=16)
def _renewal(expire_after: timedelta) -> tuple[int, bytes]:
    """Return a time to live in milliseconds, at least 1 as 0 is refused, and the end of a GETEX that sets it."""
    lifetime = max(1, expire_after // timedelta(milliseconds=1))
    digits = b"%d" % lifetime
    return lifetime, b"\r\n$2\r\nPX\r\n$%d\r\n%b\r\n" % (len(digits), digits)


def _joined(appends: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
    joined = dict(appends)
    if len(joined) == len(appends):
        return joined
    pieces: dict[str, list[bytes]] = {}
    for key, value in appends:
        pieces.setdefault(key, []).append(value)
    return {key: b"".join(values) for key, values in pieces.items()}
