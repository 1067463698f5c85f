from datetime import timedelta

import numpy as np
import pytest

from services.drift.labels.estimates import STATEMENT, Estimates
from services.drift.labels.payments import EventTime, Payment
from tests.unit.drift.performance_scene import REVIEW, START, champion, payment


class Scene:
    def __init__(self) -> None:
        self.time = EventTime()
        self.estimates = Estimates(champion(), self.time, threshold_days=100)

    def feed(self, payments: list[Payment]) -> None:
        for each in payments:
            self.time.observe(each.at)
            self.estimates.observe(each)


def scored(scores: np.ndarray, *, first_day: float = 0.0, days: float = 5.0) -> list[Payment]:
    step = days / len(scores)
    return [
        payment(number, at=START + timedelta(days=first_day + number * step), score=score, flagged=score >= REVIEW)
        for number, score in enumerate(scores.tolist())
    ]


def test_of_calibrated_scores_the_estimates_are_what_labels_will_tell() -> None:
    chance = np.random.default_rng(1)
    scores = chance.beta(0.05, 1.0, 20_000)
    frauds, flagged = chance.random(20_000) < scores, scores >= REVIEW
    scene = Scene()
    scene.feed(scored(scores))
    now = scene.estimates.now()
    assert now.payments == 20_000
    assert now.recall == pytest.approx(frauds[flagged].sum() / frauds.sum(), abs=0.03)
    assert now.precision == pytest.approx(frauds[flagged].mean(), abs=0.03)
    assert now.fraud_rate == pytest.approx(frauds.mean(), abs=0.005)
    ranks = scores.argsort().argsort()
    auc = (ranks[frauds].mean() - (frauds.sum() - 1) / 2) / (~frauds).sum()
    assert now.auc == pytest.approx(auc, abs=0.02)


def test_they_are_shown_beside_held_out_figures_and_say_what_they_cannot_see() -> None:
    scene = Scene()
    scene.feed(scored(np.full(100, 0.5)))
    signals = {signal.name: signal for signal in scene.estimates.signals()}
    recall = signals["estimated_recall"]
    assert (recall.value, recall.expected, recall.kind, recall.samples) == (1.0, 0.71, "data", 100)
    assert {signal.note for signal in signals.values()} == {STATEMENT}
    assert signals["estimated_flagged"].value == 1.0
    assert "still catches 100% of fraud (held-out payments: 71%)" in scene.estimates.told()
    assert "concept drift" in scene.estimates.told()


def test_an_empty_window_says_that_there_is_nothing_yet() -> None:
    scene = Scene()
    scene.feed([payment(1, score=None)])
    assert {(signal.state, signal.value) for signal in scene.estimates.signals()} == {("learning", None)}
    assert scene.estimates.told() == ""


def test_only_the_last_week_is_shown_and_a_wrong_date_hides_none_of_it() -> None:
    scene = Scene()
    scene.feed(scored(np.full(5_000, 0.01)))
    scene.feed(scored(np.full(3_000, 0.9), first_day=20.0))
    scene.feed([payment(1, at=START + timedelta(days=3_650 + ahead), score=0.01) for ahead in range(9)])
    now = scene.estimates.now()
    assert now.payments == 3_000
    assert now.fraud_rate == pytest.approx(0.9)
