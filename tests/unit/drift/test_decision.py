"""What follows from a finding, and what is said of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.drift.decision import AlarmPolicy, Facts, Response
from services.drift.finding import Finding
from shared.contracts.events import DriftKind

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
COOLDOWN = timedelta(minutes=10)
LABELLED = Facts(fresh_frauds=50)


def _finding(kind: DriftKind = "performance", signal: str = "recall", **fields: Any) -> Finding:
    defaults: dict[str, Any] = {
        "segment": None,
        "statistic": 400.0,
        "threshold": 200.0,
        "samples": 60,
        "at": NOW - timedelta(days=2),
        "since": NOW - timedelta(days=9),
        "explanation": "something is not as it was",
    }
    return Finding(kind=kind, signal=signal, **(defaults | fields))


FALLEN = {"performance": [_finding()]}
MOVED = {"data": [_finding("data", "amount")]}
BROKEN = {"faults": [_finding("fault", "feed_amount")]}


def _policy(*, retrain_on_data: bool = False) -> AlarmPolicy:
    return AlarmPolicy(cooldown=COOLDOWN, retrain_on_data=retrain_on_data, fresh_frauds_min=30)


def _told(response: Response) -> list[tuple[str, str]]:
    return [(alarm.finding.signal, alarm.follows) for alarm in response.alarms]


def test_a_fall_of_performance_is_told_and_a_new_model_is_asked_for() -> None:
    response = _policy().respond(FALLEN, LABELLED, NOW)
    assert _told(response) == [("recall", "A new model is asked for.")]
    assert response.request == FALLEN["performance"][0]
    assert response.waits_for == ""


def test_nothing_is_told_of_nothing() -> None:
    assert _policy().respond({"performance": [], "data": []}, LABELLED, NOW) == Response()


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (Facts(broken=["amount"], fresh_frauds=50), "the feed of amount is broken, and nothing is to be learnt from"),
        (Facts(broken=["amount", "mcc"], fresh_frauds=50), "the feeds of amount, mcc are broken"),
        (Facts(fresh_frauds=29), "needs 30 labelled frauds since 2026-05-23 12:00Z to learn the change from, and"),
        (Facts(fresh_frauds=50, awaited="version 5 is being rolled out"), "version 5 is being rolled out"),
        (Facts(fresh_frauds=50, asks_from=NOW + COOLDOWN), "the cool-down lasts until 2026-06-01 12:10:00Z"),
    ],
)
def test_what_keeps_a_new_model_from_being_asked_for_is_told_and_it_is_asked_for_as_soon_as_that_is_over(
    facts: Facts, why: str
) -> None:
    policy = _policy()
    response = policy.respond(FALLEN, facts, NOW)
    assert response.request is None
    assert why in response.waits_for
    ((_, follows),) = _told(response)
    assert follows == f"No new model is asked for yet: {response.waits_for}."
    assert policy.respond(FALLEN, facts, NOW + timedelta(minutes=1)) == response._replace(alarms=()), "told once"
    later = policy.respond(FALLEN, LABELLED, NOW + timedelta(minutes=2))
    assert (later.alarms, later.request, later.waits_for) == ((), FALLEN["performance"][0], "")


def test_a_cooldown_that_is_over_keeps_nothing_back() -> None:
    facts = Facts(fresh_frauds=50, asks_from=NOW)
    assert _policy().respond(FALLEN, facts, NOW).request is not None


def test_a_change_of_what_comes_in_is_told_with_what_is_known_of_its_harm_and_asks_for_nothing() -> None:
    facts = Facts(fresh_frauds=50, estimates="By the scores the model still catches 60% of fraud.")
    response = _policy().respond(MOVED, facts, NOW)
    assert (response.request, response.waits_for) == (None, "")
    told = "No new model is asked for: no harm to performance is known. By the scores the model still catches 60%"
    assert _told(response)[0][1].startswith(told)


def test_a_change_of_what_comes_in_asks_for_a_new_model_where_set() -> None:
    response = _policy(retrain_on_data=True).respond(MOVED, LABELLED, NOW)
    assert response.request == MOVED["data"][0]


def test_a_change_of_what_comes_in_while_a_feed_is_broken_names_the_feed() -> None:
    response = _policy().respond(MOVED | BROKEN, Facts(broken=["amount"], fresh_frauds=50), NOW)
    assert dict(_told(response))["amount"] == (
        "No new model is asked for: the feed of amount is broken, which may be all."
    )


@pytest.mark.parametrize("retrain_on_data", [True, False])
def test_a_broken_feed_never_asks_for_a_new_model(retrain_on_data: bool) -> None:
    response = _policy(retrain_on_data=retrain_on_data).respond(BROKEN, LABELLED, NOW)
    assert response.request is None
    ((signal, follows),) = _told(response)
    assert signal == "feed_amount"
    assert "the feed has to be mended" in follows


def test_a_family_is_one_alarm_whichever_of_its_watches_leads_while_each_broken_feed_is_one() -> None:
    policy = _policy()
    both = {"data": [_finding("data", "mcc"), _finding("data", "amount", statistic=900.0)]}
    assert [signal for signal, _ in _told(policy.respond(both, LABELLED, NOW))] == ["amount"], "the stronger one"
    assert policy.respond({"data": [_finding("data", "score")]}, LABELLED, NOW).alarms == ()
    feeds = {"faults": [_finding("fault", "feed_amount"), _finding("fault", "feed_mcc")]}
    assert {signal for signal, _ in _told(policy.respond(feeds, LABELLED, NOW))} == {"feed_amount", "feed_mcc"}


def test_what_ended_and_comes_back_is_told_again_after_the_cooldown() -> None:
    policy = _policy()
    policy.respond(BROKEN, LABELLED, NOW)
    policy.respond({}, LABELLED, NOW + timedelta(minutes=1))
    assert policy.respond(BROKEN, LABELLED, NOW + timedelta(minutes=2)).alarms == (), "it flaps"
    policy.respond({}, LABELLED, NOW + COOLDOWN)
    assert len(policy.respond(BROKEN, LABELLED, NOW + COOLDOWN).alarms) == 1


def test_what_stays_is_told_once_however_long() -> None:
    policy = _policy()
    responses = [policy.respond(MOVED, LABELLED, NOW + day * timedelta(days=1)) for day in range(30)]
    assert sum(len(response.alarms) for response in responses) == 1


def test_the_strongest_finding_is_the_reason() -> None:
    strong = _finding(signal="calibration", statistic=5_000.0)
    found = {"performance": [_finding(), strong], "data": [_finding("data", "amount", statistic=90_000.0)]}
    policy = _policy()
    assert policy.respond(found, LABELLED, NOW).request == strong
    assert policy.asking(found) == ("performance",)
