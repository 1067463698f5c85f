"""An ONNX file whose constants are large, taken apart where it lies.

protobuf's own parser copies them all in one go, and no other thread runs until it is done. Wire format:
https://protobuf.dev/programming-guides/encoding. Numbers of fields: onnx.proto.
"""

from collections.abc import Iterator
from typing import NamedTuple

_GRAPH_OF_MODEL, _INITIALIZER_OF_GRAPH, _RAW_DATA_OF_TENSOR = 7, 5, 9
_VARINT, _LENGTH = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
_VARINT_BYTES_MAX = 10
_CONTINUES = 0x80


class TakenApart(NamedTuple):
    """A file in parts.

    outline: the file, its initializers without their bytes. constants: the bytes of each initializer, in order, where
    they lie; None where it keeps its values otherwise.
    """

    outline: bytes
    constants: list[memoryview | None]


class _Field(NamedTuple):
    """One field of a message: its number, its bytes with the tag before them, and those of its value alone."""

    number: int
    whole: memoryview
    value: memoryview


def taken_apart(content: bytes) -> TakenApart:
    """Return the parts of an ONNX file, which the constants refer to.

    Raises:
        ValueError: not fields of protobuf's wire format.
    """
    constants: list[memoryview | None] = []

    def model(message: memoryview) -> bytes:
        return b"".join(
            _encoded(_GRAPH_OF_MODEL, graph(field.value)) if field.number == _GRAPH_OF_MODEL else field.whole
            for field in _fields(message)
        )

    def graph(message: memoryview) -> bytes:
        return b"".join(
            _encoded(_INITIALIZER_OF_GRAPH, tensor(field.value))
            if field.number == _INITIALIZER_OF_GRAPH
            else field.whole
            for field in _fields(message)
        )

    def tensor(message: memoryview) -> bytes:
        fields = list(_fields(message))
        constants.append(next((field.value for field in fields if field.number == _RAW_DATA_OF_TENSOR), None))
        return b"".join(field.whole for field in fields if field.number != _RAW_DATA_OF_TENSOR)

    return TakenApart(model(memoryview(content)), constants)


def _fields(message: memoryview) -> Iterator[_Field]:
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _, end = _varint(message, at)
        elif kind == _LENGTH:
            length, at = _varint(message, at)
            end = at + length
        elif kind in _FIXED_BYTES:
            end = at + _FIXED_BYTES[kind]
        else:
            raise ValueError(f"field {number} at byte {start} is of wire type {kind}, which there is not")
        if end > len(message):
            raise ValueError(f"field {number} at byte {start} ends {end - len(message)} bytes behind its message")
        yield _Field(number, message[start:end], message[at:end])
        at = end


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + _VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << 7 * place
        if byte < _CONTINUES:
            return value, at + place + 1
    raise ValueError(f"the number at byte {at} does not end")


def _encoded(number: int, value: bytes) -> bytes:
    """Return a field of bytes."""
    return _of_varint(number << 3 | _LENGTH) + _of_varint(len(value)) + value


def _of_varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= _CONTINUES:
        encoded.append(number & 0x7F | _CONTINUES)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
