"""Vectors that know the future are found against the archive; simulated payments, rightly computed, raise no alarm."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from itertools import takewhile
from pathlib import Path

import msgspec
import polars as pl
import pytest

from services.local.simulation.simulator import Simulator, SimulatorConfig
from services.training.archive import Archive
from services.training.backfill import fill_archive
from services.training.data.dataset import TrainingSet, read_training_set
from services.training.data.folds import prequential_folds
from services.training.data.leakage import LeakageBounds, check_leakage, from_the_future
from services.training.refusal import RefusedError
from shared.contracts.events import Event, FeatureVector
from shared.contracts.topics import FEATURES, LABELS
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import Aggregation, Entity, FeatureSet, Row, RowFunction, Window
from shared.runtime.loop import Delivery
from tests.unit.training.training_scene import archive, record, settings, vector

DAYS = 12
DAY_US = 24 * 3600 * 1_000_000
UNKNOWN = "0" * 64
SUM = "feature_card_sum_amount_1d"
FRAUDS = "feature_card_fraud_count_30d"
SAMPLE = LeakageBounds(sample_rows=100)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose archive holds simulated payments, labels a day later, and backfilled vectors."""
    home = tmp_path_factory.mktemp("home")
    config = SimulatorConfig(
        cards=80,
        merchants=200,
        merchants_compromised_daily=4 / 10_000,
        cards_compromised_daily=20 / 5_000,
        label_delay=timedelta(days=1),
    )
    simulator = Simulator(config)
    end = config.start + DAYS * timedelta(days=1)
    payments = [
        payment.transaction
        for payment in takewhile(lambda made: made.transaction.occurred_at < end, simulator.payments())
    ]
    empty = vector("any")
    events: list[Event] = [
        msgspec.structs.replace(empty, transaction=made, occurred_at=made.occurred_at, feature_version=UNKNOWN)
        for made in payments
    ]
    events += simulator.labels_due(end)
    kept = archive(home)
    kept.write([_delivery(at, event) for at, event in enumerate(sorted(events, key=lambda event: event.occurred_at))])
    fill_archive(kept, FRAUD, show=lambda _: None)
    return home


def _delivery(at: int, event: Event) -> Delivery:
    topic = FEATURES if isinstance(event, FeatureVector) else LABELS
    produced_ms = int(event.occurred_at.timestamp() * 1000)
    return Delivery(record(topic, event, offset=at, produced_ms=produced_ms), event)


def data_of(home: Path) -> TrainingSet:
    return read_training_set(archive(home), FRAUD, settings(home, label_delay_days=1.0))


Change = Callable[[pl.DataFrame, pl.Expr], pl.DataFrame]


@pytest.fixture
def planted(simulated: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """Return a function that copies the home and changes its vectors; it is told which payments are frauds."""

    def plant(change: Change) -> Path:
        labels = archive(simulated).labels(since=SimulatorConfig().start.date()).filter(pl.col("label") == "fraud")
        is_fraud = pl.col("transaction_id").is_in(labels["transaction_id"].implode())
        for file in (simulated / "archive").rglob("*.parquet"):
            copy = tmp_path / file.relative_to(simulated)
            copy.parent.mkdir(parents=True, exist_ok=True)
            rows = pl.read_parquet(file, hive_partitioning=False)
            changed = change(rows.sort("occurred_at"), is_fraud) if SUM in rows.columns else rows
            changed.write_parquet(copy)
        return tmp_path

    return plant


def test_simulated_payments_pass_every_check(simulated: Path) -> None:
    data = data_of(simulated)
    assert data.frauds.sum() >= LeakageBounds().frauds_min
    folds = prequential_folds(data.times, count=2, test_us=2 * DAY_US)
    checks = check_leakage(data, folds, archive(simulated))
    assert [check.name for check in checks] == [
        "no feature alone tells fraud",
        "no feature numbers the payments",
        "no feature names the card",
        "no feature knows the future",
        "folds are apart in time",
    ]
    assert [check.explanation for check in checks if "not checked" in check.explanation] == []
    assert "0 values of " in checks[3].explanation


def test_a_window_that_holds_later_payments_is_found(planted: Callable[[Change], Path]) -> None:
    home = planted(lambda rows, _: rows.with_columns(pl.col(SUM).sum().over("card_id")))
    with pytest.raises(RefusedError, match=r"feature card_sum_amount_1d .* is archived with .* is right") as refused:
        check_leakage(data_of(home), [], archive(home))
    assert refused.value.code == "leakage"
    assert "transaction payment-1-" in str(refused.value)
    assert "backfill the archive" in str(refused.value)


def test_a_count_that_knows_only_the_frauds_too_early_is_found(planted: Callable[[Change], Path]) -> None:
    home = planted(lambda rows, is_fraud: rows.with_columns(pl.col(FRAUDS) + is_fraud.cast(pl.Float64)))
    data = data_of(home)
    assert data.frauds.mean() < LeakageBounds().differing_share
    (leak,) = from_the_future(data, archive(home), SAMPLE)
    assert (leak.passed, leak.feature) == (False, "card_fraud_count_30d")
    assert "sampled frauds" in leak.explanation


def test_a_few_values_that_differ_are_told_and_pass(planted: Callable[[Change], Path]) -> None:
    is_tenth = pl.int_range(pl.len()) % 10 == 0
    home = planted(lambda rows, _: rows.with_columns(pl.when(is_tenth).then(-1.0).otherwise(pl.col(SUM)).alias(SUM)))
    (check,) = from_the_future(data_of(home), archive(home), SAMPLE)
    assert check.passed
    assert not check.explanation.startswith("0 values")


def test_vectors_that_say_they_are_incomplete_are_left_out(planted: Callable[[Change], Path]) -> None:
    home = planted(lambda rows, _: rows.with_columns(pl.lit(-1.0).alias(SUM), degraded=pl.lit(["incomplete"])))
    (check,) = from_the_future(data_of(home), archive(home), SAMPLE)
    assert check.explanation.startswith("not checked")


def test_payments_whose_past_is_no_longer_archived_are_not_recomputed(simulated: Path, tmp_path: Path) -> None:
    narrow = FeatureSet("narrow", (Row(RowFunction.AMOUNT), Window(Entity.CARD, Aggregation.SUM, timedelta(days=2))))
    shutil.copytree(simulated, tmp_path, dirs_exist_ok=True)
    kept = Archive(tmp_path / "archive", [narrow])
    fill_archive(kept, narrow, show=lambda _: None)
    for folder in (tmp_path / "archive").rglob("date=*"):
        if folder.name < "date=2026-01-05":
            shutil.rmtree(folder)
    data = read_training_set(kept, narrow, settings(tmp_path, label_delay_days=1.0))
    (check,) = from_the_future(data, kept, SAMPLE)
    assert check.explanation.startswith("0 values of ")
