"""The Open Inference Protocol, version 2, for the models in service; see tensors.py for its messages.

What is scored here is decided nowhere and goes to no topic.
"""

import asyncio
import importlib.metadata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import numpy as np
from fastapi import FastAPI, Request, Response
from msgspec import Meta, Struct

from services.scoring.model import ScoringModel
from services.scoring.roles import Roles
from services.scoring.tensors import (
    INPUT,
    OUTPUT,
    InferRequest,
    InferResponse,
    Message,
    Parameters,
    ProtocolError,
    answered,
    asked,
)
from shared.intake.http import REFERENCE, body_of, json_answer, reference
from shared.intake.problems import IntakeError

SERVER_NAME = "headrace"
JSON_LENGTH = "Inference-Header-Content-Length"

_IN_THREAD_BYTES_MIN = 32_768
"""A larger body is worked on off the event loop, where payments wait for their answers."""

Endpoint = Callable[[Request], Awaitable[Response]]


class InferenceError(Struct, frozen=True):
    """What was wrong, and in which field."""

    error: str


class ServerMetadata(Struct, frozen=True):
    """Who answers, and which extensions of the protocol it knows."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Struct, frozen=True):
    """An input or an output; -1 in its shape stands for any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Struct, frozen=True):
    """A model; `versions` are those in service, the one that decides first."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: Annotated[Parameters, Meta(description="feature_version, and feature_names separated by commas.")]


_, INFERENCE_SCHEMAS = msgspec.json.schema_components(
    [InferenceError, ServerMetadata, ModelMetadata, InferRequest, InferResponse], ref_template=REFERENCE
)


def inference_routes(app: FastAPI, roles: Callable[[], Roles[ScoringModel]], *, bytes_max: int) -> None:
    """Add /v2 to an app whose OpenAPI document has INFERENCE_SCHEMAS.

    roles: the models in service now. bytes_max: of a request's body.
    """

    async def live(_: Request) -> Response:
        return Response()

    async def ready(_: Request) -> Response:
        # The protocol has a 4xx say no, and nothing in the body.
        return Response(status_code=HTTPStatus.OK if roles().champion else HTTPStatus.BAD_REQUEST)

    async def server(_: Request) -> Response:
        return json_answer(ServerMetadata(SERVER_NAME, _version(), ["binary_tensor_data"]), HTTPStatus.OK)

    async def model_ready(request: Request) -> Response:
        _chosen(roles(), request)
        return Response()

    async def model(request: Request) -> Response:
        now = roles()
        return json_answer(_metadata(now, _chosen(now, request)), HTTPStatus.OK)

    async def infer(request: Request) -> Response:
        chosen, message = _chosen(roles(), request), await _message(request, bytes_max)
        if len(message.body) < _IN_THREAD_BYTES_MIN:
            return _response(_inferred(chosen, message))
        return _response(await asyncio.to_thread(_inferred, chosen, message))

    app.get("/v2/health/live", **_described("v2_live", "Say that the process runs", _EMPTY))(live)
    app.get("/v2/health/ready", **_described("v2_ready", "Say whether a model is in service", _READY))(ready)
    app.get("/v2", **_described("v2_server", "Say who answers", {200: ("The server.", ServerMetadata)}))(server)
    for path, name, parameters in _PLACES:
        told = _told(model)
        app.get(path, **_described(f"v2_{name}", "Describe a model", _MODEL, parameters))(told)
        told = _told(model_ready)
        app.get(f"{path}/ready", **_described(f"v2_{name}_ready", "Say that it is in service", _EMPTY, parameters))(
            told
        )
        told = _told(infer)
        app.post(f"{path}/infer", **_described(f"v2_{name}_infer", "Score rows", _INFERRED, parameters, _BODY))(told)


def _version() -> str:
    """Return the platform's version; "unknown" where its code was copied rather than installed."""
    try:
        return importlib.metadata.version(SERVER_NAME)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _told(endpoint: Endpoint) -> Endpoint:
    """Return `endpoint` with what goes wrong told in the protocol's form."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ProtocolError as error:
            return json_answer(InferenceError(str(error)), error.status)
        except IntakeError as error:
            return json_answer(InferenceError(error.problem.message), error.status)

    return answer


def _chosen(roles: Roles[ScoringModel], request: Request) -> ScoringModel:
    """Return the model that a path names; without a version the one that decides."""
    loaded, name, version = _loaded(roles), request.path_params["model"], request.path_params.get("version")
    found = [each for each in loaded if each.manifest.model_name == name]
    for each in found:
        if each is roles.champion if version is None else str(each.manifest.model_version) == version:
            return each
    wanted = name if version is None else f"{name} version {version}"
    known = ", ".join(f"{each.manifest.model_name} version {each.manifest.model_version}" for each in loaded)
    raise ProtocolError(f"{wanted} is not in service; in service: {known or 'none'}", status=HTTPStatus.NOT_FOUND)


def _loaded(roles: Roles[ScoringModel]) -> list[ScoringModel]:
    canary = roles.canary.model if roles.canary else None
    models = (roles.champion, canary, *roles.challengers)
    return list(dict.fromkeys(model for model in models if model is not None))


def _metadata(roles: Roles[ScoringModel], model: ScoringModel) -> ModelMetadata:
    manifest = model.manifest
    return ModelMetadata(
        name=manifest.model_name,
        versions=[str(each.manifest.model_version) for each in _loaded(roles)],
        platform="onnxruntime_onnx",
        inputs=[TensorMetadata(INPUT, "FP32", [-1, len(manifest.feature_names)])],
        outputs=[TensorMetadata(OUTPUT, "FP32", [-1])],
        parameters={
            "feature_version": manifest.feature_version,
            "feature_names": ",".join(manifest.feature_names),
        },
    )


async def _message(request: Request, bytes_max: int) -> Message:
    if (coding := request.headers.get("content-encoding", "identity")) != "identity":
        raise ProtocolError(f"Content-Encoding: {coding} is not taken; send the body as it is", status=415)
    length = request.headers.get(JSON_LENGTH)
    if length is not None and not (length.isascii() and length.isdigit()):
        raise ProtocolError(f"{JSON_LENGTH}: {length!r} is not a number of bytes")
    return Message(await body_of(request, bytes_max), None if length is None else int(length))


def _inferred(model: ScoringModel, message: Message) -> Message:
    manifest = model.manifest
    what = asked(message, manifest.feature_names)
    scores = model.scores(what.rows) if len(what.rows) else np.zeros(0, dtype=np.float32)
    return answered(manifest.model_name, manifest.model_version, what, scores)


def _response(message: Message) -> Response:
    if message.json_bytes is None:
        return Response(message.body, media_type="application/json")
    headers = {JSON_LENGTH: str(message.json_bytes)}
    return Response(message.body, media_type="application/octet-stream", headers=headers)


def _described(
    operation_id: str,
    summary: str,
    answers: Mapping[int, tuple[str, type | None]],
    parameters: Sequence[dict[str, Any]] = (),
    body: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """Return how an operation is described to FastAPI; an answer of no type has no body."""
    return {
        "operation_id": operation_id,
        "summary": summary,
        "tags": ["inference"],
        "response_class": Response,
        "responses": {
            status: {"description": text, "content": {"application/json": {"schema": reference(kind)}} if kind else {}}
            for status, (text, kind) in answers.items()
        },
        "openapi_extra": {"parameters": list(parameters), **body},
    }


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


_PLACES = (
    ("/v2/models/{model}", "model", [_path_parameter("model")]),
    ("/v2/models/{model}/versions/{version}", "version", [_path_parameter("model"), _path_parameter("version")]),
)
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": reference(InferRequest)}, **_BINARY},
    }
}
_NOT_LOADED = {404: ("It is not in service; the answer says what is.", InferenceError)}
_EMPTY: Mapping[int, tuple[str, type | None]] = {200: ("Yes.", None), **_NOT_LOADED}
_READY: Mapping[int, tuple[str, type | None]] = {200: ("Yes.", None), 400: ("None is.", None)}
_MODEL: Mapping[int, tuple[str, type | None]] = {200: ("The model.", ModelMetadata), **_NOT_LOADED}
_INFERRED: Mapping[int, tuple[str, type | None]] = {
    200: (f"The scores; as bytes behind the JSON where they are wanted so, with {JSON_LENGTH}.", InferResponse),
    400: ("The request is not what it must be; the answer names the field.", InferenceError),
    **_NOT_LOADED,
    413: ("The body is too large.", InferenceError),
    415: ("The body is compressed.", InferenceError),
}
