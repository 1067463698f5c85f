import pickle
import random
from datetime import timedelta

from services.drift.labels.witnesses import Witnesses
from tests.events import START


def feed(witnesses: Witnesses, error_rate: float, *, minutes: range, seed: int = 1) -> None:
    chance = random.Random(seed)
    for minute in minutes:
        witnesses.observe(is_error=chance.random() < error_rate, at=START + timedelta(minutes=minute))


def test_a_model_whose_errors_treble_is_seen_by_both() -> None:
    witnesses = Witnesses(0.02)
    feed(witnesses, 0.02, minutes=range(20_000))
    feed(witnesses, 0.06, minutes=range(20_000, 21_500), seed=2)
    changed = START + timedelta(minutes=20_000)
    for at in (witnesses.adwin_at, witnesses.page_hinkley_at):
        assert at is not None
        assert timedelta(0) < at - changed < timedelta(minutes=1_500)
    assert "ADWIN saw more errors by 2026-03-1" in witnesses.told()


def test_a_stable_model_is_left_alone() -> None:
    seen = []
    for seed in range(3):
        witnesses = Witnesses(0.02)
        feed(witnesses, 0.02, minutes=range(20_000), seed=seed)
        seen += [witnesses.adwin_at, witnesses.page_hinkley_at]
    assert seen == [None] * 6


def test_a_model_that_improves_is_no_change_for_the_worse() -> None:
    witnesses = Witnesses(0.05)
    feed(witnesses, 0.05, minutes=range(20_000))
    feed(witnesses, 0.005, minutes=range(20_000, 30_000), seed=2)
    assert witnesses.adwin_at is None
    assert witnesses.page_hinkley_at is None
    assert witnesses.error_rate < 0.02, "the window holds the new rate only"


def test_they_go_on_after_they_were_written_to_disk() -> None:
    whole, broken_off = Witnesses(0.02), Witnesses(0.02)
    feed(whole, 0.02, minutes=range(5_000))
    feed(broken_off, 0.02, minutes=range(5_000))
    resumed: Witnesses = pickle.loads(pickle.dumps(broken_off))  # noqa: S301 - our own
    for each in (whole, resumed):
        feed(each, 0.08, minutes=range(5_000, 9_000), seed=2)
    assert resumed.adwin_at == whole.adwin_at is not None
    assert resumed.page_hinkley_at == whole.page_hinkley_at is not None
