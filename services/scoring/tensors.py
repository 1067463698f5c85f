"""Messages of the Open Inference Protocol, version 2: rows of features in, scores out. No I/O.

Specification: https://github.com/kserve/open-inference-protocol, with Triton's extension for binary tensors, which its
clients use by default: behind the JSON, whose length stands in a header, come the tensors as little-endian bytes.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

INPUT, OUTPUT = "rows", "score"
BINARY_SIZE, BINARY_OUTPUT, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
DATATYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "FP64": np.dtype("<f8")}
_RANK = 2

Parameters = dict[str, str | int | float | bool]


class ProtocolError(Exception):
    """A request that cannot be answered; the message names the field."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class RequestInput(Struct, frozen=True):
    """The rows: shape [n, features], FP32 or FP64; `data`, or `binary_data_size` bytes behind the JSON."""

    name: str
    shape: list[Annotated[int, Meta(ge=0)]]
    datatype: str
    parameters: Parameters = {}
    data: (
        Annotated[
            Raw, Meta(description="Numbers, row by row: flat, or a list a row.", extra_json_schema={"type": "array"})
        ]
        | UnsetType
    ) = UNSET


class RequestOutput(Struct, frozen=True):
    """An output that is wanted; with `binary_data` true as bytes behind the JSON."""

    name: str
    parameters: Parameters = {}


class InferRequest(Struct, frozen=True):
    """One input `rows`. Without `outputs` all are returned, as bytes where `binary_data_output` is true."""

    inputs: list[RequestInput]
    id: str | UnsetType = UNSET
    parameters: Parameters = {}
    outputs: list[RequestOutput] | UnsetType = UNSET


class ResponseOutput(Struct, frozen=True, omit_defaults=True):
    """The scores: probabilities of fraud, shape [n], FP32."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: list[float] | UnsetType = UNSET


class InferResponse(Struct, frozen=True):
    """What a model says of each row."""

    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: str | UnsetType = UNSET


class Asked(NamedTuple):
    """A request, checked: rows of shape (n, features), and for each output that is wanted whether as bytes."""

    request_id: str | UnsetType
    rows: npt.NDArray[np.float32]
    outputs_binary: Sequence[bool]


class Message(NamedTuple):
    """A body; `json_bytes`: how much of it is JSON, None where all is."""

    body: bytes
    json_bytes: int | None


_decoder = msgspec.json.Decoder(InferRequest)
_encoder = msgspec.json.Encoder()
_flat, _nested = msgspec.json.Decoder(list[float]), msgspec.json.Decoder(list[list[float]])


def asked(message: Message, feature_names: Sequence[str]) -> Asked:
    """Return what a request asks for, of a model that takes these features; raises ProtocolError."""
    end = len(message.body) if message.json_bytes is None else message.json_bytes
    if not 0 <= end <= len(message.body):
        raise ProtocolError(f"Inference-Header-Content-Length: {end}, but the body has {len(message.body)} bytes")
    try:
        request = _decoder.decode(message.body[:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(_placed(error, "")) from error
    if [given.name for given in request.inputs] != [INPUT]:
        raise ProtocolError(f"inputs: one is needed, named {INPUT!r}; given: {[each.name for each in request.inputs]}")
    rows = _rows(request.inputs[0], message.body[end:], len(feature_names))
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0].tolist()
        raise ProtocolError(f"inputs[0].data: row {row}, {feature_names[column]}: not a finite number of FP32")
    return Asked(request.id, rows, _outputs(request))


def answered(model_name: str, model_version: int, what: Asked, scores: npt.NDArray[np.float32]) -> Message:
    """Return the response to a request; scores: shape (n,)."""
    packed = scores.astype(DATATYPES["FP32"]).tobytes()
    shape = [len(scores)]
    outputs = [
        ResponseOutput(OUTPUT, shape, "FP32", {BINARY_SIZE: len(packed)})
        if binary
        else ResponseOutput(OUTPUT, shape, "FP32", data=scores.tolist())
        for binary in what.outputs_binary
    ]
    header = _encoder.encode(InferResponse(model_name, str(model_version), outputs, what.request_id))
    return Message(header + packed * sum(what.outputs_binary), len(header) if any(what.outputs_binary) else None)


def _rows(given: RequestInput, behind: bytes, width: int) -> npt.NDArray[np.float32]:
    if given.datatype not in DATATYPES:
        raise ProtocolError(f"inputs[0].datatype: {given.datatype!r} is not taken; send {' or '.join(DATATYPES)}")
    if len(given.shape) != _RANK or given.shape[1] != width:
        raise ProtocolError(f"inputs[0].shape: {given.shape} is not [rows, {width}], one column a feature")
    count = given.shape[0] * width
    if BINARY_SIZE in given.parameters:
        values = _unpacked(given, behind, count)
    else:
        values = _listed(given, count)
        if behind:
            raise ProtocolError(f"{len(behind)} bytes follow the JSON, but no input has the parameter {BINARY_SIZE}")
    with np.errstate(over="ignore"):  # told by the caller, who looks for what is not finite
        rows: npt.NDArray[np.float32] = values.reshape(given.shape).astype(np.float32)
    return rows


def _unpacked(given: RequestInput, behind: bytes, count: int) -> npt.NDArray[Any]:
    kind, size = DATATYPES[given.datatype], given.parameters[BINARY_SIZE]
    if not size == len(behind) == count * kind.itemsize:
        raise ProtocolError(
            f"inputs[0].parameters.{BINARY_SIZE}: {size}; {len(behind)} bytes follow the JSON, and {given.shape} of "
            f"{given.datatype} take {count * kind.itemsize}"
        )
    return np.frombuffer(behind, dtype=kind)


def _listed(given: RequestInput, count: int) -> npt.NDArray[np.float64]:
    if given.data is UNSET:
        raise ProtocolError(f"inputs[0].data: missing; send numbers, or the parameter {BINARY_SIZE} and bytes")
    data = bytes(given.data)
    nested = re.match(rb"\s*\[\s*\[", data) is not None
    try:
        rows = _nested.decode(data) if nested else [_flat.decode(data)]
    except msgspec.DecodeError as error:
        raise ProtocolError(_placed(error, "inputs[0].data")) from error
    if nested and (len(rows) != given.shape[0] or any(len(row) != given.shape[1] for row in rows)):
        raise ProtocolError(f"inputs[0].data: its lists are not those of the shape {given.shape}")
    values = np.array([value for row in rows for value in row], dtype=np.float64)
    if len(values) != count:
        raise ProtocolError(f"inputs[0].data: {len(values)} numbers, where the shape {given.shape} takes {count}")
    return values


def _outputs(request: InferRequest) -> Sequence[bool]:
    """Return for each output that is wanted whether as bytes."""
    everything = [RequestOutput(OUTPUT, {BINARY_OUTPUT: request.parameters.get(ALL_BINARY, False)})]
    wanted = request.outputs or everything
    for at, output in enumerate(wanted):
        if output.name != OUTPUT:
            raise ProtocolError(f"outputs[{at}].name: there is no {output.name!r}; there is {OUTPUT!r}")
        if unknown := sorted(output.parameters.keys() - {BINARY_OUTPUT}):
            raise ProtocolError(f"outputs[{at}].parameters.{unknown[0]}: not supported")
    return [
        output.parameters.get(BINARY_OUTPUT, request.parameters.get(ALL_BINARY, False)) is True for output in wanted
    ]


def _placed(error: Exception, inside: str) -> str:
    """Return msgspec's complaint with the place in front, below `inside`."""
    message, _, place = str(error).partition(" - at `$")
    path = inside + place.rstrip("`")
    return f"{path.removeprefix('.')}: {message}" if path else message
