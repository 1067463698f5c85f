"""Ingest behind the gate: keys, roles, rates by the event, and how the document tells of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.ingest.replay.plan import ReplayError, ReplayPlan
from services.ingest.replay.run import replay
from shared.access.keys import change_keys, new_key
from shared.access.roles import Role
from tests.unit.ingest.serving import NOW, Running, payment_body, serving

RATE = 20
ROLE_OF = {
    "transactions": "score",
    "labels": "label",
    "interactions": "recommend",
    "items": "catalogue",
    "users": "catalogue",
}


class Guarded:
    """An ingest with keys, and one key of each role."""

    def __init__(self, running: Running, texts: dict[Role, str]) -> None:
        self.running = running
        self.texts = texts

    def post(self, path: str, body: Any, role: Role | None) -> int:
        headers = {} if role is None else {"X-API-Key": self.texts[role]}
        return self.running.post(path, body, headers).status_code


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[Guarded]:
    made = {role: new_key(role, frozenset({role}), rate_per_second=RATE, now=NOW) for role in Role}
    change_keys(tmp_path / "keys.json", lambda keys: [*keys, *(key for key, _ in made.values())])
    with serving(headrace_home=tmp_path) as running:
        yield Guarded(running, {role: text for role, (_, text) in made.items()})


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/v1/transactions", Role.SCORE),
        ("/v1/transactions/batch", Role.SCORE),
        ("/v1/labels", Role.LABEL),
        ("/v1/labels/batch", Role.LABEL),
        ("/v1/interactions", Role.RECOMMEND),
        ("/v1/interactions/batch", Role.RECOMMEND),
        ("/v1/items", Role.CATALOGUE),
        ("/v1/items/batch", Role.CATALOGUE),
        ("/v1/users", Role.CATALOGUE),
        ("/v1/users/batch", Role.CATALOGUE),
    ],
)
def test_each_path_is_open_to_its_role_and_to_admins_only(ingest: Guarded, path: str, role: Role) -> None:
    assert ingest.post(path, {}, None) == 401
    # Past the gate: the body is what is wrong.
    admitted = {role, Role.ADMIN}
    assert {other: ingest.post(path, {}, other) for other in Role} == {
        other: 422 if other in admitted else 403 for other in Role
    }


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/items/i1", "/v1/users/u1"])
def test_only_the_catalogues_keys_change_it(ingest: Guarded, method: str, path: str) -> None:
    def status(role: Role) -> int:
        headers = {"X-API-Key": ingest.texts[role]}
        return ingest.running.client.request(method, path, content=b"{}", headers=headers).status_code

    assert {role for role in Role if status(role) == 202} == {Role.CATALOGUE, Role.ADMIN}
    assert {role for role in Role if status(role) == 403} == {Role.SCORE, Role.LABEL, Role.RECOMMEND}


def test_a_refused_event_is_not_on_the_log_and_an_admitted_one_is(ingest: Guarded) -> None:
    assert ingest.post("/v1/transactions", payment_body(), None) == 401
    assert ingest.running.events("transactions") == []
    assert ingest.post("/v1/transactions", payment_body(), Role.SCORE) == 202
    assert len(ingest.running.events("transactions")) == 1


def test_every_event_of_a_batch_counts_against_the_rate(ingest: Guarded) -> None:
    batch = {"events": [payment_body(transaction_id=f"tx-{n}") for n in range(RATE)]}
    # More batches than the seconds they take, on whatever machine.
    statuses = [ingest.post("/v1/transactions/batch", batch, Role.SCORE) for _ in range(40)]
    assert set(statuses) == {202, 429}
    assert len(ingest.running.events("transactions")) == RATE * statuses.count(202)


def test_a_batch_beyond_the_rate_is_told_how_small_it_must_be(ingest: Guarded) -> None:
    batch = {"events": [payment_body(transaction_id=f"tx-{n}") for n in range(RATE + 1)]}
    answer = ingest.running.post("/v1/transactions/batch", batch, {"X-API-Key": ingest.texts[Role.SCORE]})
    assert answer.status_code == 429
    assert "retry-after" not in answer.headers
    assert f"at most {RATE} events" in answer.json()["error"]["hint"]
    assert ingest.running.events("transactions") == []


def test_openapi_tells_how_to_show_a_key_and_how_one_is_refused(ingest: Guarded) -> None:
    document = ingest.running.client.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1/"):
                named = {name for choice in operation["security"] for name in choice}
                assert named == set(schemes)
                assert {"401", "403", "429"} <= set(operation["responses"])
                assert f"role {ROLE_OF[path.split('/')[2]]}" in operation["responses"]["403"]["description"]
            else:
                assert "security" not in operation
                assert "401" not in operation["responses"]


def test_a_replay_brings_its_key(ingest: Guarded, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    body = payment_body()
    file.write_text(",".join(body) + "\n" + ",".join(map(str, body.values())) + "\n")
    plan = ReplayPlan(file=file)
    with pytest.raises(ReplayError, match=r"401|key"):
        replay(plan, base_url=ingest.running.url, home=tmp_path)
    replay(plan, base_url=ingest.running.url, home=tmp_path, api_key=ingest.texts[Role.SCORE])
    assert len(ingest.running.events("transactions")) == 1
