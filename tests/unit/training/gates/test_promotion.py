"""The promotion test keeps its stated error rate, and sees what is better."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from services.training.gates import promotion
from services.training.gates.promotion import FRAUDS_MIN, PairedTest, paired_test

Floats = npt.NDArray[np.float64]


class Scene(NamedTuple):
    champion: Floats
    challenger: Floats
    frauds: npt.NDArray[np.int8]
    cards: npt.NDArray[np.int64]


def scene(seed: int, *, champion: float = 1.0, challenger: float = 1.0, payments: int = 1_000) -> Scene:
    """Return two models' scores: what both see of a fraud, times how well each sees it, plus its own noise.

    Frauds gather on a tenth of the cards, so that payments are not independent.
    """
    rng = np.random.default_rng(seed)
    cards = rng.integers(0, 100, payments)
    compromised = rng.random(100) < 0.1
    frauds = (rng.random(payments) < np.where(compromised[cards], 0.3, 0.02)).astype(np.int8)
    seen = 2 * frauds + compromised[cards] + rng.normal(0, 1, payments)
    noise = rng.normal(0, 1, (2, payments))
    return Scene(seen * champion + noise[0], seen * challenger + noise[1], frauds, cards)


def judged(it: Scene, *, error_rate: float = 0.05, seed: int = 0) -> PairedTest:
    return paired_test(it.champion, it.challenger, it.frauds, it.cards, error_rate=error_rate, seed=seed)


@pytest.mark.parametrize("error_rate", [0.05, 0.2])
def test_equals_are_promoted_no_more_often_than_stated(error_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "EXCHANGES", 99)
    runs = 150
    promoted = sum(judged(scene(seed), error_rate=error_rate, seed=seed).better for seed in range(runs))
    # Three standard errors above the stated rate.
    assert promoted <= runs * error_rate + 3 * (runs * error_rate * (1 - error_rate)) ** 0.5
    # A test that promotes nobody would keep any rate.
    assert promoted >= runs * error_rate / 5


def test_a_clearly_better_model_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "EXCHANGES", 99)
    found = sum(judged(scene(seed, champion=0.2, challenger=2.0), seed=seed).better for seed in range(20))
    assert found == 20


def test_a_worse_model_is_not_better() -> None:
    outcome = judged(scene(1, champion=2.0, challenger=0.2))
    assert not outcome.better
    assert outcome.lead < 0


def test_only_the_order_of_scores_counts() -> None:
    it = scene(2, champion=0.5)
    stretched = it._replace(champion=np.exp(it.champion) * 1e-6, challenger=it.challenger * 1_000 - 3)
    assert judged(stretched) == judged(it)


def test_a_model_is_no_better_than_itself() -> None:
    it = scene(3)
    outcome = judged(it._replace(challenger=it.champion))
    assert outcome.lead == 0
    assert not outcome.better


def test_with_too_few_frauds_nothing_is_promoted_and_the_reason_says_so() -> None:
    it = scene(4, champion=0.1, challenger=3.0)
    few = np.flatnonzero(it.frauds)[: FRAUDS_MIN - 1]
    kept = np.union1d(few, np.flatnonzero(it.frauds == 0))
    outcome = judged(Scene(it.champion[kept], it.challenger[kept], it.frauds[kept], it.cards[kept]))
    assert not outcome.better
    assert outcome.p_value is None
    assert f"at least {FRAUDS_MIN} frauds" in outcome.explanation
