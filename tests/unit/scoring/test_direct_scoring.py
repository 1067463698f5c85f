"""POST /v1/score beside the stream: one answer, one decision, the same one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.topics import TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.progress import PROGRESS_KEY, applied, milliseconds
from shared.runtime.clock import SystemClock
from tests.events import START, payment
from tests.unit.ingest.serving import FaultyBus
from tests.unit.scoring.rest_scene import FaultyStore, RestScene, decision_bytes, decision_in, rest_scene
from tests.unit.scoring.scoring_scene import wait_until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[RestScene]:
    with rest_scene(tmp_path) as running:
        yield running


def test_the_answer_is_the_decision_that_goes_to_scores(scene: RestScene) -> None:
    answer = scene.post(payment("large", amount=99_000))
    assert answer.json()["decision"] == "decline"
    assert scene.scores(1) == [decision_bytes(answer)]


def test_a_payment_scored_and_then_seen_on_the_log_counts_and_is_decided_once(scene: RestScene) -> None:
    events = [payment(f"t{n}", after=timedelta(minutes=n), amount=60_000) for n in range(5)]
    answers = [scene.post(event).content for event in events]
    for event in events:  # the shop also streams what it asked about
        scene.bus.publisher().send(Outgoing(TRANSACTIONS.name, event.card_id.encode(), codec.encode(event)))
    assert [scene.post(event).content for event in events] == answers
    decisions = sorted(scene.decisions(5), key=lambda decision: decision.transaction_id)
    assert [decision.event_id for decision in decisions] == [decision_in(scene.post(e)).event_id for e in events]
    assert [codec.encode(decision) for decision in decisions] == [decision_bytes(scene.post(e)) for e in events]


def test_the_same_payment_gets_the_same_bytes_again_whatever_has_changed(scene: RestScene) -> None:
    event = payment("a", amount=99_000)
    first = scene.post(event)
    scene.post(payment("b", amount=10))
    hour_ago = milliseconds(SystemClock().now()) - 3_600_000
    scene.store.patch(PROGRESS_KEY, patches=[applied(TRANSACTIONS.name, 60, through_ms=hour_ago, waiting_records=9)])
    assert scene.decided(payment("c")).degraded == ["stale"]
    assert scene.post(event).content == first.content


def test_a_wrong_field_is_named_and_nothing_reaches_the_log(scene: RestScene) -> None:
    answer = scene.client.post("/v1/score", content=codec.encode(payment("a")).replace(b"1999", b'"much"'))
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "amount")
    assert scene.payments() == []
    assert scene.in_journal() == 0


def test_the_trace_of_the_request_becomes_the_decisions(scene: RestScene) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    body = codec.encode(payment("a")).replace(b'"trace_id":"0af7651916cd43dd8448eb211c80319c",', b"")
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    assert decision_in(scene.client.post("/v1/score", content=body, headers=headers)).trace_id == trace_id


def test_without_the_log_answers_go_on_and_wait_in_the_journal(scene: RestScene) -> None:
    assert isinstance(scene.bus, FaultyBus)
    scene.bus.away = True
    events = [payment(f"t{n}", after=timedelta(minutes=n), amount=60_000) for n in range(5)]
    answers = [decision_bytes(scene.post(event)) for event in events]
    wait_until(lambda: "wait in the journal" in scene.scoring.problems().get("drain", ""), "not ready")
    assert scene.in_journal() == 5
    assert scene.metric("headrace_journal_oldest_seconds") > 0
    scene.bus.away = False
    assert sorted(scene.scores(5)) == sorted(answers)
    assert "drain" not in scene.scoring.problems()


def test_without_the_store_the_fallback_answers_says_so_and_is_the_decision(scene: RestScene) -> None:
    assert isinstance(scene.store, FaultyStore)
    before = scene.metric('headrace_state_misses_total{reason="away"}')
    scene.store.away = True
    event = payment("a", amount=99_000)
    answer = scene.post(event)
    assert (decision_in(answer).decision, decision_in(answer).degraded) == ("approve", ["features"])
    assert scene.metric('headrace_state_misses_total{reason="away"}') == before + 1
    # The shop streams it too: whoever comes by first when the store is back, the answer stands.
    scene.bus.publisher().send(Outgoing(TRANSACTIONS.name, event.card_id.encode(), codec.encode(event)))
    scene.store.away = False
    assert scene.scores(1) == [decision_bytes(answer)]
    later = scene.decided(payment("b", after=timedelta(minutes=1)))
    assert later.degraded == []


def test_an_explanation_adds_up_to_the_score_and_changes_no_decision(scene: RestScene) -> None:
    event = payment("large", amount=99_000)
    explained = scene.client.post("/v1/score?explain=true", content=codec.encode(event))
    explanation = explained.json()["explanation"]
    contributions = {each["feature"]: each for each in explanation["contributions"]}
    assert list(contributions) == FRAUD.feature_names
    total = explanation["base"] + sum(each["contribution"] for each in contributions.values())
    assert total == pytest.approx(explanation["logit"], abs=1e-4)
    assert max(contributions.values(), key=lambda each: each["contribution"])["feature"] == "amount"
    assert contributions["amount"]["value"] == 99_000
    plain = scene.client.post("/v1/score?explain=false", content=codec.encode(event))
    assert plain.content == scene.post(event).content == explained.content.split(b',"explanation":')[0] + b"}"


def test_what_is_asked_for_wrongly_is_told(scene: RestScene) -> None:
    for query, field in (("explain=maybe", "explain"), ("explian=true", "explian")):
        answer = scene.client.post(f"/v1/score?{query}", content=codec.encode(payment("a")))
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    assert scene.client.get("/v1/score").status_code == 405


def test_no_score_has_no_explanation(tmp_path: Path) -> None:
    with rest_scene(tmp_path, promoted=False) as scene:
        answer = scene.client.post("/v1/score?explain=true", content=codec.encode(payment("a")))
        assert (answer.json()["score"], answer.json()["explanation"]) == (None, None)


def test_a_state_far_behind_the_log_makes_the_decision_stale(scene: RestScene) -> None:
    assert scene.decided(payment("before")).degraded == []
    hour_ago = milliseconds(SystemClock().now()) - 3_600_000
    scene.store.patch(PROGRESS_KEY, patches=[applied(TRANSACTIONS.name, 60, through_ms=hour_ago, waiting_records=9)])
    assert scene.decided(payment("after")).degraded == ["stale"]


def test_a_lost_state_makes_decisions_incomplete_on_both_paths_and_the_service_not_ready(scene: RestScene) -> None:
    assert isinstance(scene.store, FaultyStore)
    scene.decided(payment("before"))
    scene.decisions(1)
    scene.store._values.clear()
    assert scene.decided(payment("after", after=timedelta(minutes=1))).degraded == ["incomplete"]
    assert [decision.degraded for decision in scene.decisions(2)] == [[], ["incomplete"]]
    wait_until(lambda: "headrace rebuild" in scene.features.problems().get("state", ""), "told to rebuild")


def test_a_payment_dated_far_ahead_is_refused(scene: RestScene) -> None:
    tomorrow = SystemClock().now() - START + timedelta(days=1)
    answer = scene.post(payment("a", after=tomorrow))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "ahead_of_clock")


def test_the_openapi_document_describes_the_payment_and_the_decision(scene: RestScene) -> None:
    document = scene.client.get("/openapi.json").json()
    operation = document["paths"]["/v1/score"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert "event_id" not in document["components"]["schemas"][body]["required"]
    assert set(operation["responses"]) >= {"200", "413", "422", "503"}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert {"decision_id", "decision", "score"} <= set(document["components"]["schemas"][answer]["required"])
