"""Events to bytes and back, checked on the way in."""

from typing import TypeVar

import msgspec

from shared.contracts.events import Event
from shared.contracts.topics import Topic

E = TypeVar("E", bound=Event)

_encoder = msgspec.json.Encoder()
_decoders: dict[type[Event], msgspec.json.Decoder[Event]] = {}


class BadRecordError(Exception):
    """A record that can never be processed, however often it is tried.

    error: a short code for counting; the message says what was wrong and what to do.
    """

    def __init__(self, error: str, explanation: str) -> None:
        super().__init__(explanation)
        self.error = error


def encode(event: Event) -> bytes:
    """Return `event` as UTF-8 JSON; the same event gives the same bytes."""
    return _encoder.encode(event)


def decode(event_type: type[E], value: bytes) -> E:
    """Return the event in `value`.

    Raises:
        BadRecordError: not JSON, a field missing, unknown or of the wrong type, or an unknown version.
    """
    decoder = _decoders.get(event_type)
    if decoder is None:
        decoder = _decoders[event_type] = msgspec.json.Decoder(event_type)
    try:
        return decoder.decode(value)  # type: ignore[return-value]
    except msgspec.ValidationError as error:
        code = "unknown_version" if "$.schema_version" in str(error) else "invalid"
        raise BadRecordError(code, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecordError("not_json", str(error)) from error


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
