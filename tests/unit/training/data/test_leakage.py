"""Leaks that are planted are found and named; data without any passes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from services.training.data.dataset import TrainingSet, read_training_set
from services.training.data.folds import Fold, prequential_folds
from services.training.data.leakage import LeakageBounds, check_leakage, naming_cards, numbering, overlapping, revealing
from shared.features.catalog.fraud import FRAUD
from tests.unit.training.training_scene import COUNT, archive, settings, world

Rows = npt.NDArray[np.float32]
BOUNDS = LeakageBounds()
DAY_US = 24 * 3600 * 1_000_000
CHANNEL = FRAUD.feature_names.index("channel")


def drawn(*, seed: int = 0, count: int = 1_200, fraud_share: float = 0.05) -> TrainingSet:
    """Features that have nothing to do with fraud, time or card: four payments of each card."""
    rng = np.random.default_rng(seed)
    rows = rng.gamma(2.0, 20.0, (count, len(FRAUD.features))).astype(np.float32)
    rows[:, FRAUD.categories] = rng.integers(1_000, size=(count, len(FRAUD.categories)))
    return TrainingSet(
        feature_set=FRAUD,
        rows=rows,
        frauds=(rng.random(count) < fraud_share).astype(np.int8),
        times=np.sort(rng.integers(20 * DAY_US, size=count)),
        cards=rng.permutation(np.arange(count) // 4),
        amounts=rng.integers(1, 10_000, size=count),
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
    )


def planted(data: TrainingSet, values: npt.ArrayLike, column: int = COUNT) -> TrainingSet:
    rows = data.rows.copy()
    rows[:, column] = values
    return replace(data, rows=rows)


def leaking(data: TrainingSet) -> list[str | None]:
    checks = (*revealing(data, BOUNDS), *numbering(data, BOUNDS), *naming_cards(data))
    return [check.feature for check in checks if not check.passed]


def some(data: TrainingSet, share: float) -> npt.NDArray[np.bool_]:
    return np.random.default_rng(1).random(len(data.frauds)) < share


def strong() -> TrainingSet:
    """Return data in which one feature tells nine frauds of ten."""
    data = drawn()
    return planted(data, np.where((data.frauds == 1) & some(data, 0.9), 1_000, data.rows[:, COUNT]))


@pytest.mark.parametrize(
    "values",
    [
        lambda data: data.frauds,
        lambda data: 1 - data.frauds,
        lambda data: np.where(data.frauds == 1, np.nan, data.rows[:, COUNT]),
        lambda data: np.where(data.frauds == 0, np.nan, data.rows[:, COUNT]),
        lambda data: np.where((data.frauds == 1) & some(data, 0.5), np.nan, 1000.0 * data.frauds),
        lambda data: np.where(data.frauds == 1, np.inf, data.rows[:, COUNT]),
        lambda data: 200.0 * data.frauds + data.rows[:, COUNT],
    ],
    ids=[
        "the label",
        "its opposite",
        "missing if fraud",
        "missing if genuine",
        "large or missing",
        "infinite",
        "noisy",
    ],
)
def test_a_feature_that_tells_the_label_is_found(values: Callable[[TrainingSet], Rows]) -> None:
    data = drawn()
    assert leaking(planted(data, values(data))) == ["card_count_1d"]


def test_a_category_that_tells_the_label_is_found() -> None:
    data = drawn()
    codes = 7 * np.random.default_rng(0).integers(10, size=len(data.frauds)) + 3 * data.frauds
    assert leaking(planted(data, codes, CHANNEL)) == ["channel"]


def test_a_category_that_is_different_in_every_payment_tells_nothing() -> None:
    data = drawn()
    ids = np.random.default_rng(0).permutation(len(data.frauds))
    assert leaking(planted(data, ids, CHANNEL)) == []


def test_a_strong_feature_is_no_leak() -> None:
    data = strong()
    (check,) = revealing(data, BOUNDS)
    assert check.passed
    assert "AUC 0.9" in check.explanation


def test_the_bounds_decide() -> None:
    lower = LeakageBounds(auc=0.9, average_precision=0.8)
    assert [check.feature for check in revealing(strong(), lower)] == ["card_count_1d"]


@pytest.mark.parametrize("fraud_share", [0.005, 1.0])
def test_with_few_payments_of_one_kind_nothing_is_concluded(fraud_share: float) -> None:
    data = drawn(fraud_share=fraud_share)
    (check,) = revealing(planted(data, data.frauds), BOUNDS)
    assert (check.passed, check.explanation[:11]) == (True, "not checked")


@pytest.mark.parametrize(
    "values",
    [
        lambda data: np.arange(len(data.times)),
        lambda data: -np.arange(len(data.times)),
        lambda data: data.times / 1e6 + 1.7e9,
    ],
    ids=["an id", "a falling id", "a clock in float32"],
)
def test_a_feature_that_numbers_the_payments_is_found(values: Callable[[TrainingSet], Rows]) -> None:
    data = drawn(count=4_000)
    assert leaking(planted(data, values(data))) == ["card_count_1d"]


def test_a_feature_that_grows_with_time_but_does_not_tell_it_is_no_leak() -> None:
    data = drawn()
    assert leaking(planted(data, data.times / DAY_US + data.rows[:, COUNT] / 20)) == []
    assert leaking(planted(data, data.times // DAY_US % 7)) == []


def test_a_feature_that_names_the_card_is_found() -> None:
    data = drawn()
    names = np.random.default_rng(0).permutation(len(data.cards))
    assert leaking(planted(data, names[data.cards])) == ["card_count_1d"]


def test_a_feature_that_groups_cards_or_differs_within_them_is_no_leak() -> None:
    data = drawn()
    assert leaking(planted(data, data.cards % 20)) == []
    assert leaking(planted(data, data.cards + 0.5 * some(data, 0.3))) == []


def test_with_few_cards_nothing_is_concluded() -> None:
    data = drawn(count=120)
    (check,) = naming_cards(planted(data, data.cards))
    assert (check.passed, check.explanation[:11]) == (True, "not checked")


def test_features_of_chance_raise_no_alarm() -> None:
    assert [leaking(drawn(seed=seed, count=400)) for seed in range(5)] == [[]] * 5


def test_the_world_raises_no_alarm(tmp_path: Path) -> None:
    kept = archive(tmp_path)
    kept.write(world(days=12).deliveries())
    data = read_training_set(kept, FRAUD, settings(tmp_path))
    assert data.frauds.sum() >= BOUNDS.frauds_min
    assert all(check.passed for check in check_leakage(data, [], kept))


def test_folds_apart_in_time_pass_and_others_do_not() -> None:
    data = drawn()
    folds = prequential_folds(data.times, count=3, test_us=2 * DAY_US, gap_us=DAY_US)
    (check,) = overlapping(data, folds)
    assert check.passed
    assert folds[1].test.any()
    torn = Fold(folds[1].train | folds[1].test, folds[1].test)
    (check,) = overlapping(data, [folds[0], torn])
    assert not check.passed
    assert "fold 2 of 2" in check.explanation
    (check,) = overlapping(data, [Fold(folds[1].test, folds[1].train)])
    assert not check.passed
