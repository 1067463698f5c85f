"""The Open Inference Protocol, spoken by a client that is not ours, and what it answers to what is wrong."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import example, settings
from hypothesis import given as given_any
from hypothesis import strategies as st
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from services.scoring.inference import INFERENCE_SCHEMAS, JSON_LENGTH, inference_routes
from services.scoring.model import ScoringModel
from services.scoring.roles import Canary, Roles
from shared.intake.http import DescribedApi
from shared.models.manifest import MODEL_NAME
from tests.models import FEATURE_NAMES, manifest_of, onnx_bytes, some_rows
from tests.unit.scoring.serving import served

WIDTH = len(FEATURE_NAMES)
BYTES_MAX = 1_000_000
INFER = f"/v2/models/{MODEL_NAME}/infer"


def model(version: int, column: int) -> ScoringModel:
    onnx = onnx_bytes(column=column)
    return ScoringModel(manifest_of(version, onnx), onnx)


ROLES = Roles(model(3, 0), Canary(model(4, 1), 0.1), (model(5, 2),))


def api(roles: Roles[ScoringModel] = ROLES) -> DescribedApi:
    app = DescribedApi(schemas=INFERENCE_SCHEMAS, title="Headrace scoring", description="Raw models.")
    inference_routes(app, lambda: roles, bytes_max=BYTES_MAX)
    return app


@pytest.fixture(scope="module")
def triton() -> Iterator[InferenceServerClient]:
    with served(api()) as address, InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(api())


def given(rows: Any, *, binary: bool, datatype: str = "FP32") -> InferInput:
    tensor = InferInput("rows", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return tensor


@pytest.mark.parametrize("count", [1, 3_000])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary_in", [True, False])
def test_a_client_gets_the_models_own_scores(
    triton: InferenceServerClient, count: int, datatype: str, binary_in: bool, binary_out: bool
) -> None:
    rows = np.resize(some_rows(), (count, WIDTH))
    sent = given(rows.astype({"FP32": np.float32, "FP64": np.float64}[datatype]), binary=binary_in, datatype=datatype)
    wanted = [InferRequestedOutput("score", binary_data=binary_out)]
    result = triton.infer(MODEL_NAME, [sent], outputs=wanted, request_id="mine")
    assert ROLES.champion is not None
    assert result.as_numpy("score").tolist() == ROLES.champion.scores(rows).tolist()
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("mine", MODEL_NAME, "3")


def test_without_outputs_named_a_client_gets_all_of_them_as_bytes(triton: InferenceServerClient) -> None:
    result = triton.infer(MODEL_NAME, [given(some_rows(), binary=True)])
    assert result.as_numpy("score").shape == (100,)
    assert result.get_response()["outputs"][0]["parameters"] == {"binary_data_size": 400}


def test_no_rows_get_no_scores(triton: InferenceServerClient) -> None:
    assert triton.infer(MODEL_NAME, [given(some_rows()[:0], binary=True)]).get_response()["outputs"][0]["shape"] == [0]


@pytest.mark.parametrize(("version", "column"), [("3", 0), ("4", 1), ("5", 2)])
def test_every_model_in_service_can_be_asked(triton: InferenceServerClient, version: str, column: int) -> None:
    assert triton.is_model_ready(MODEL_NAME, version)
    result = triton.infer(MODEL_NAME, [given(some_rows(), binary=True)], model_version=version)
    assert result.as_numpy("score").tolist() == model(int(version), column).scores(some_rows()).tolist()


def test_metadata_tells_what_to_send(triton: InferenceServerClient) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    told = triton.get_model_metadata(MODEL_NAME)
    assert told["versions"] == ["3", "4", "5"]
    assert told["inputs"] == [{"name": "rows", "datatype": "FP32", "shape": [-1, WIDTH]}]
    assert told["outputs"] == [{"name": "score", "datatype": "FP32", "shape": [-1]}]
    assert told["parameters"]["feature_names"].split(",") == FEATURE_NAMES


def test_without_a_champion_the_server_is_not_ready_and_says_why() -> None:
    client = TestClient(api(Roles(None, None, (model(5, 2),))))
    assert (client.get("/v2/health/ready").status_code, client.get("/v2/health/live").status_code) == (400, 200)
    answer = client.post(INFER, json=request())
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "fraud is not in service; in service: fraud version 5"},
    )
    assert client.post(f"/v2/models/{MODEL_NAME}/versions/5/infer", json=request()).status_code == 200


def test_what_is_not_in_service_is_told_beside_what_is(triton: InferenceServerClient) -> None:
    assert not triton.is_model_ready(MODEL_NAME, "9")
    with pytest.raises(InferenceServerException, match=r"fraud version 9 is not .*fraud version 3, fraud version 4"):
        triton.infer(MODEL_NAME, [given(some_rows(), binary=True)], model_version="9")
    with pytest.raises(InferenceServerException, match="ranking is not in service"):
        triton.get_model_metadata("ranking")


def request(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "rows", "shape": [2, WIDTH], "datatype": "FP32", "data": [[0.0] * WIDTH, [1.0] * WIDTH]}
    return {"inputs": [tensor | changes.pop("tensor", {})]} | changes


def test_flat_and_nested_data_mean_the_same(client: TestClient) -> None:
    nested, flat = (client.post(INFER, json=request(tensor=tensor)) for tensor in ({}, {"data": [0.0] * 3 + [1] * 3}))
    assert nested.json() == flat.json()
    assert "id" not in nested.json()
    assert len(nested.json()["outputs"][0]["data"]) == 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"inputs": []}, "inputs: one is needed, named 'rows'"),
        ({"inputs": None}, "inputs: Expected `array`"),
        ({"tensor": {"name": "x"}}, "inputs: one is needed, named 'rows'; given: ['x']"),
        ({"tensor": {"shape": [2, 2]}}, "inputs[0].shape: [2, 2] is not [rows, 3]"),
        ({"tensor": {"shape": [6]}}, "inputs[0].shape: [6] is not"),
        ({"tensor": {"shape": [-1, 3]}}, "inputs[0].shape[0]: Expected `int` >= 0"),
        ({"tensor": {"shape": [3, 3]}}, "inputs[0].data: its lists are not those of the shape [3, 3]"),
        ({"tensor": {"data": [0.0] * 5}}, "inputs[0].data: 5 numbers, where the shape [2, 3] takes 6"),
        ({"tensor": {"data": [["1.0"] * 3] * 2}}, "inputs[0].data[0][0]: Expected `float`, got `str`"),
        ({"tensor": {"data": [True] * 6}}, "inputs[0].data[0]: Expected `float`, got `bool`"),
        ({"tensor": {"data": [None] * 6}}, "inputs[0].data[0]: Expected `float`, got `null`"),
        ({"tensor": {"data": [0.0] * 5 + [1e39]}}, "inputs[0].data: row 1, age: not a finite number of FP32"),
        ({"inputs": [{"name": "rows", "shape": [1, 3], "datatype": "FP32"}]}, "inputs[0].data: missing"),
        ({"tensor": {"datatype": "INT64"}}, "inputs[0].datatype: 'INT64' is not taken; send FP32 or FP64"),
        ({"tensor": {"parameters": {"binary_data_size": 24}}}, "inputs[0].parameters.binary_data_size: 24; 0 bytes"),
        ({"outputs": [{"name": "label"}]}, "outputs[0].name: there is no 'label'"),
        ({"outputs": [{"name": "score", "parameters": {"classification": 2}}]}, "outputs[0].parameters.classification"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(client: TestClient, wrong: dict[str, Any], told: str) -> None:
    answer = client.post(INFER, json=request(**wrong))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(told)


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (b"{", {}, 400, "Input data was truncated"),
        (b"\xff", {}, 400, ""),
        (json.dumps(request()).encode() + b"\0\0\0\0", {"Inference-Header-Content-Length": "{json}"}, 400, "4 bytes"),
        (b"{}", {"Inference-Header-Content-Length": "3"}, 400, "Inference-Header-Content-Length: 3"),
        (b"{}", {"Inference-Header-Content-Length": "-1"}, 400, "Inference-Header-Content-Length: '-1'"),
        (b"{}", {"Content-Encoding": "gzip"}, 415, "Content-Encoding: gzip"),
        (b" " * (BYTES_MAX + 1), {}, 413, f"the body is larger than {BYTES_MAX} bytes"),
    ],
)
def test_a_body_that_is_no_message_is_refused(
    client: TestClient, body: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    sent = {name: text.format(json=len(body) - 4) for name, text in headers.items()}
    answer: httpx.Response = client.post(INFER, content=body, headers=sent)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(told)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_with_its_row(triton: InferenceServerClient, bad: float) -> None:
    rows = some_rows().copy()
    rows[7, 1] = bad
    with pytest.raises(InferenceServerException, match=r"row 7, count: not a finite number"):
        triton.infer(MODEL_NAME, [given(rows, binary=True)])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(["name", "shape", "datatype", "data", "parameters"])


@settings(max_examples=150)
@given_any(field=FIELDS, value=JSON)
@example(field="shape", value=[10**30, WIDTH])
@example(field="data", value=[10**400] * 6)
def test_anything_odd_in_a_tensor_is_scored_or_told(client: TestClient, field: str, value: Any) -> None:
    check(client.post(INFER, content=json.dumps(request(tensor={field: value}))))


@settings(max_examples=150)
@given_any(body=st.binary() | st.text().map(str.encode), length=st.none() | st.integers())
@example(body=b"[" * 100_000, length=None)
def test_any_bytes_are_told(client: TestClient, body: bytes, length: int | None) -> None:
    check(client.post(INFER, content=body, headers={} if length is None else {JSON_LENGTH: str(length)}))


def check(answer: httpx.Response) -> None:
    assert answer.status_code in {200, 400}, answer.text
    assert answer.json()["outputs" if answer.status_code == 200 else "error"]


def test_the_openapi_document_describes_every_path(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert {path for path in document["paths"] if path.startswith("/v2")} == {
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        *(
            f"/v2/models/{{model}}{version}{action}"
            for version in ("", "/versions/{version}")
            for action in ("", "/ready", "/infer")
        ),
    }
    body = document["paths"]["/v2/models/{model}/infer"]["post"]["requestBody"]["content"]
    assert body.keys() == {"application/json", "application/octet-stream"}
    references = json.dumps(document).split('"#/components/schemas/')[1:]
    assert {text.split('"')[0] for text in references} <= document["components"]["schemas"].keys()
