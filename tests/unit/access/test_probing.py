"""Feeling for the decision boundary gets slow; ordinary traffic does not."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access.gate import Caller
from shared.access.probing import ProbingBudget
from shared.runtime import metrics
from shared.runtime.clock import ManualClock
from tests.events import START, payment

QUERIES, WINDOW, DELAY = 10, timedelta(minutes=10), 2.0
SHOP = Caller("0123456789ab", "shop-7")
OTHER = Caller("ba9876543210", "shop-8")


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.budget = ProbingBudget(
            self.clock, queries_max=QUERIES, window_seconds=WINDOW.total_seconds(), delay_seconds_max=DELAY
        )
        self.sent = 0

    def ask(self, caller: Caller = SHOP, **fields: Any) -> float:
        """Ask about a payment that differs from all before in its id; return the delay."""
        self.sent += 1
        return self.budget.delay_seconds(caller, payment(f"tx-{self.sent}", **fields))

    def ask_for(self, amounts: Iterable[int]) -> list[float]:
        return [self.ask(amount=amount) for amount in amounts]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def counted(kind: str, name: str = SHOP.name) -> float:
    return metrics.REGISTRY.get_sample_value("headrace_probing_total", {"key": name, "kind": kind}) or 0.0


def test_closing_in_on_an_amount_gets_slower_and_slower_up_to_a_maximum(scene: Scene) -> None:
    before = counted("similar")
    delays = scene.ask_for(range(2_000, 2_030))
    assert delays[:QUERIES] == [0.0] * QUERIES
    growing = delays[QUERIES : 2 * QUERIES]
    assert growing == sorted(set(growing))
    assert growing[0] > 0.0
    assert delays[2 * QUERIES :] == [DELAY] * 10
    assert counted("similar") - before == 20
    assert scene.budget.slowed_keys() == 1


def test_amounts_far_apart_have_a_looser_budget(scene: Scene) -> None:
    # Ten in each of four octaves: each within its own budget, thirty within that of them all.
    delays = scene.ask_for(amount for octave in (1_024, 2_048, 4_096, 8_192) for amount in range(octave, octave + 10))
    assert delays[:30] == [0.0] * 30
    assert min(delays[30:]) > 0.0


@pytest.mark.parametrize(
    "other",
    [
        {"card_id": "card-2"},
        {"merchant_id": "merchant-2"},
        {"device_id": "device-2"},
        {"channel": "atm"},
        {"country": "FR"},
        {"mcc": "5999"},
        {"caller": OTHER},
    ],
)
def test_who_is_slowed_in_one_place_is_not_in_another(scene: Scene, other: dict[str, Any]) -> None:
    assert scene.ask_for(range(2_000, 2_040))[-1] == DELAY
    assert scene.ask(**{"amount": 2_000, **other}) == 0.0


def test_what_was_beyond_the_budget_is_worked_off_in_one_window_and_the_rest_in_another(scene: Scene) -> None:
    scene.ask_for(range(2_000, 2_100))
    scene.clock.advance(WINDOW + timedelta(seconds=1))
    assert scene.budget.slowed_keys() == 0
    assert scene.ask(amount=2_000) == pytest.approx(DELAY / QUERIES, rel=0.1)
    scene.clock.advance(WINDOW)
    assert scene.ask_for(range(2_000, 2_009)) == [0.0] * 9


def test_repeating_a_payment_is_no_probing_and_has_a_budget_of_its_own(scene: Scene) -> None:
    before = counted("repeated")
    delays = [scene.budget.delay_seconds(SHOP, payment("same")) for _ in range(1 + QUERIES + 5)]
    assert delays[: 1 + QUERIES] == [0.0] * (1 + QUERIES)
    assert min(delays[1 + QUERIES :]) > 0.0
    assert counted("repeated") - before == 5
    # It used up one query of the budget of its like.
    assert scene.ask_for([1_999] * QUERIES)[:-1] == [0.0] * (QUERIES - 1)


def test_another_amount_under_the_same_transaction_id_is_no_repeat(scene: Scene) -> None:
    delays = [scene.budget.delay_seconds(SHOP, payment("same", amount=amount)) for amount in range(2_000, 2_020)]
    assert delays[-1] == DELAY


def test_ordinary_traffic_of_many_cards_is_never_slowed(scene: Scene) -> None:
    for n in range(3_000):
        assert scene.ask(card_id=f"card-{n % 500}", merchant_id=f"merchant-{n % 7}", amount=n) == 0.0


def test_a_probe_is_not_forgotten_in_a_flood_of_other_payments(scene: Scene) -> None:
    probes = []
    for n in range(QUERIES + 3):
        probes.append(scene.ask(amount=2_000 + n))
        for other in range(1_000):
            scene.ask(OTHER, card_id=f"card-{n}-{other}")
    assert min(probes[QUERIES:]) > 0.0


@given(gaps=st.lists(st.floats(min_value=0.001, max_value=700.0), min_size=1, max_size=60))
def test_the_delay_is_bounded_and_ten_in_any_window_are_free(gaps: list[float]) -> None:
    scene = Scene()
    times: list[float] = []
    for gap in gaps:
        scene.clock.advance(timedelta(seconds=gap))
        times.append(scene.clock.monotonic_seconds())
        delay = scene.ask()
        assert 0.0 <= delay <= DELAY
        # Twice the window, since what was used up within one takes another to be given back.
        recent = [at for at in times if at > times[-1] - 2 * WINDOW.total_seconds()]
        if len(recent) <= QUERIES:
            assert delay == 0.0
