"""Identifiers: UUIDv7 (RFC 9562), random for new events and derived for events that must be the same twice."""

import hashlib
import os
from datetime import datetime

_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62


def new_event_id(now: datetime) -> str:
    """Return a fresh UUIDv7 whose time part is `now`."""
    return _uuid7(now, int.from_bytes(os.urandom(10)))


def derived_event_id(occurred_at: datetime, *identity: str) -> str:
    """Return the UUIDv7 that stands for `identity`: the same words and time give the same id, always.

    A retry or a replay that derives its ids this way is recognised as the event it repeats.
    """
    # Lengths keep ("ab", "c") apart from ("a", "bc").
    text = "".join(f"{len(word)}:{word}" for word in identity)
    return _uuid7(occurred_at, int.from_bytes(hashlib.blake2b(text.encode(), digest_size=10).digest()))


def new_trace_id() -> str:
    """Return a W3C Trace Context trace-id: 32 lower-case hexadecimal digits."""
    return os.urandom(16).hex()


def _uuid7(time: datetime, entropy: int) -> str:
    milliseconds = int(time.timestamp() * 1000) & ((1 << 48) - 1)
    high = (entropy >> 62 & 0xFFF) << 64
    low = entropy & ((1 << 62) - 1)
    digits = f"{milliseconds << 80 | _VERSION_7 | high | _VARIANT_RFC | low:032x}"
    # As str(UUID(int=...)) has it, in a third of the time: every vector and decision gets one.
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
