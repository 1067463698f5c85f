"""Events to bytes and back, checked on the way in."""

from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from shared.contracts.events import Event
from shared.contracts.topics import Topic

E = TypeVar("E", bound=Event)

# Readers keep event time in 64 bits of nanoseconds; outside these years it is a mistake of units anyway.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2262, 1, 1, tzinfo=UTC)
EXPLANATION_CHARACTERS_MAX = 400
"""A complaint may quote what was sent; it must not grow with it."""

_encoder = msgspec.json.Encoder()
_decoders: dict[type[Event], msgspec.json.Decoder[Event]] = {}


class BadRecordError(Exception):
    """A record that can never be processed, however often it is tried.

    error: a short code for counting; the message says what was wrong and what to do.
    """

    def __init__(self, error: str, explanation: str) -> None:
        super().__init__(shortened(explanation))
        self.error = error


def shortened(text: str, characters_max: int = EXPLANATION_CHARACTERS_MAX) -> str:
    """Return `text`, its middle cut out where it is longer; the end often tells the place."""
    half = (characters_max - 3) // 2
    return text if len(text) <= characters_max else f"{text[:half]}...{text[-half:]}"


def encode(event: Event) -> bytes:
    """Return `event` as UTF-8 JSON; the same event gives the same bytes."""
    return _encoder.encode(event)


def decode(event_type: type[E], value: bytes) -> E:
    """Return the event in `value`.

    Raises:
        BadRecordError: not JSON, a field missing, unknown or of the wrong type, an unknown version, or an event time
            outside of 1970 to 2262.
    """
    decoder = _decoders.get(event_type)
    if decoder is None:
        decoder = _decoders[event_type] = msgspec.json.Decoder(event_type)
    try:
        event = decoder.decode(value)
    except msgspec.ValidationError as error:
        code = "unknown_version" if "$.schema_version" in str(error) else "invalid"
        raise BadRecordError(code, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecordError("not_json", str(error)) from error
    if not EARLIEST <= event.occurred_at < LATEST:
        text = f"{event.occurred_at.isoformat()} is not between {EARLIEST.year} and {LATEST.year} - at `$.occurred_at`"
        raise BadRecordError("out_of_range", text)
    return event  # type: ignore[return-value]


def decode_record(topic: Topic, key: bytes | None, value: bytes | None) -> Event:
    """Return the event of a record on `topic`, checked against the key it travels under.

    Raises:
        BadRecordError: as `decode`; also an empty value, a missing key, or a key that is not the event's.
    """
    if value is None:
        raise BadRecordError("empty", f"a record on {topic.name} needs a value")
    if key is None:
        raise BadRecordError("missing_key", f"a record on {topic.name} needs its {topic.key} as key")
    event = decode(topic.event, value)
    expected = topic.key_of(event)
    if key != expected.encode():
        raise BadRecordError(
            "wrong_key",
            f"the key must be the event's {topic.key}, {expected!r}; send the record under that key",
        )
    return event
