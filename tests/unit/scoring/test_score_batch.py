"""POST /v1/score/batch: many payments, each answered on its own."""

from collections.abc import Iterator

import pytest

from shared.contracts import codec
from shared.contracts.events import Transaction
from tests.events import payment
from tests.unit.scoring.rest_scene import RestScene, decision_bytes, rest_scene

PATH = "/v1/score/batch"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestScene]:
    home = tmp_path_factory.mktemp("batch")
    with rest_scene(home, headrace_scoring_batch_payments_max=100, headrace_scoring_batch_bytes_max=100_000) as running:
        yield running


def events_of(name: str, count: int) -> list[Transaction]:
    return [payment(f"{name}-{n}", card_id=f"card-{n}", amount=99_000 if n % 3 == 0 else 10) for n in range(count)]


@pytest.mark.parametrize("lines", [False, True])
def test_answers_come_in_order_and_are_the_decisions(scene: RestScene, lines: bool) -> None:
    events = events_of(f"lines-{lines}", 70)
    bodies = list(map(codec.encode, events))
    content = b"\n".join(bodies) + b"\r\n\n" if lines else b"[" + b",".join(bodies) + b"]"
    answer = scene.client.post(PATH, content=content)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["decided"], told["failed"]) == (70, 0)
    assert [item["index"] for item in told["items"]] == list(range(70))
    assert [item["decision"]["transaction_id"] for item in told["items"]] == [e.transaction_id for e in events]
    assert [item["decision"]["decision"] for item in told["items"]] == ["decline", "approve", "approve"] * 23 + [
        "decline"
    ]
    for event in events[:3]:
        assert decision_bytes(scene.post(event))[1:] in answer.content


def test_what_cannot_be_taken_is_told_in_its_place_and_the_rest_is_decided(scene: RestScene) -> None:
    good, wrong = map(codec.encode, events_of("partial", 2))
    content = b"\n".join([good, wrong.replace(b'"amount":10', b'"amount":"much"'), b"{", good])
    told = scene.client.post(PATH, content=content).json()
    assert (told["decided"], told["failed"]) == (2, 2)
    assert [item["status"] for item in told["items"]] == [200, 422, 400, 200]
    assert told["items"][0]["decision"] == told["items"][3]["decision"]
    assert [told["items"][at]["error"]["field"] for at in (1, 2)] == ["[1].amount", "[2]"]


def test_nothing_to_decide_is_decided(scene: RestScene) -> None:
    assert scene.client.post(PATH, content=b"[]").json() == {"decided": 0, "failed": 0, "items": []}


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"[1, 2", 400, "not_json"),
        (b"[" + b",".join([b"1"] * 101) + b"]", 422, "too_many_payments"),
        (b" " * 100_001, 413, "too_large"),
    ],
)
def test_a_batch_that_is_none_is_refused_as_a_whole(scene: RestScene, content: bytes, status: int, code: str) -> None:
    answer = scene.client.post(PATH, content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
