"""A key beyond its rate is told to come back, and comes back."""

import time
from pathlib import Path

import pytest

from shared.access.gate import Caller
from shared.access.rates import EventRates
from shared.access.roles import Role
from shared.intake.problems import AccessError, TooManyError
from tests.unit.access.access_scene import Scene

# More calls than any machine makes in the seconds that would let all of them through.
MANY = 40


def test_beyond_its_rate_a_key_is_told_when_to_come_back_and_others_are_not(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    busy, quiet = scene.add_key(Role.SCORE, rate_per_second=1), scene.add_key(Role.SCORE)
    answers = [scene.call("/v1/score", busy) for _ in range(MANY)]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "too_many"
    assert "1 events a second" in refused.json()["error"]["message"]
    assert int(refused.headers["retry-after"]) >= 1
    assert scene.call("/v1/score", quiet).status_code == 200


def test_a_key_that_was_refused_is_taken_again_after_a_while() -> None:
    rates = EventRates()
    while rates.spend("key", 1, per_second=2):
        pass
    while not rates.spend("key", 1, per_second=2):
        time.sleep(0.1)


def test_no_more_is_taken_than_the_rate_and_a_twentieth() -> None:
    rates = EventRates()
    begun = time.monotonic()
    taken = sum(rates.spend("key", 7, per_second=1_000) for _ in range(2_000)) * 7
    seconds = int(time.monotonic() - begun) + 1
    # A window that slides over two seconds may hold the rate of both.
    assert 900 <= taken <= 1_050 * (seconds + 1)


def test_a_batch_that_its_key_could_never_send_is_told_how_small_it_must_be(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    headers = [(b"x-api-key", scene.add_key(Role.SCORE, rate_per_second=10).encode())]
    assert scene.gate.admit(headers, role=Role.SCORE, events=10).name == "shop-7"
    with pytest.raises(TooManyError) as refused:
        scene.gate.admit(headers, role=Role.SCORE, events=11)
    assert refused.value.problem.code == "batch_beyond_rate"
    assert "at most 10 events" in str(refused.value.problem.hint)
    assert refused.value.retry_after_seconds is None


def test_what_a_caller_sends_after_it_was_admitted_counts_too(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    key = scene.add_key(Role.SCORE, rate_per_second=10)
    caller = scene.gate.admit([(b"x-api-key", key.encode())], role=Role.SCORE)
    codes = {refusal(scene, caller, 10) for _ in range(MANY)}
    assert codes == {None, "too_many"}
    assert refusal(scene, caller, 11) == "batch_beyond_rate"
    scene.revoke(key)
    assert refusal(scene, caller, 2) == "unauthorized"


def refusal(scene: Scene, caller: Caller, events: int) -> str | None:
    try:
        scene.gate.admit_batch(caller, events)
    except AccessError as error:
        return error.problem.code
    return None
