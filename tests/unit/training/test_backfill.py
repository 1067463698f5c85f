"""History for a new definition: what is written, what training makes of it, what is left alone."""

from datetime import date
from pathlib import Path

import msgspec
import polars as pl
import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.training.archive import Archive
from services.training.backfill import Progress, fill_archive, write_file
from services.training.columns import VECTOR_COLUMNS, feature_columns
from services.training.data.dataset import read_training_set
from shared.contracts.events import FeatureVector
from shared.contracts.topics import FEATURES, LABELS
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import DAY, Aggregation, Entity, FeatureSet, Window
from shared.runtime.loop import Delivery
from tests.events import START, label
from tests.unit.training.training_scene import delivered, settings, vector

OLD = FeatureSet("fraud", FRAUD.features[:-1])
NEW = FeatureSet("fraud", (*OLD.features, Window(Entity.CARD, Aggregation.SUM, 2 * DAY)))
DAYS = 40


def served(number: int, feature_set: FeatureSet, *, value: float = 1.0) -> FeatureVector:
    """A payment a day of one card, of 100 minor units the first, 101 the second and so on."""
    made = vector(f"t{number}", after=number * DAY, values=[value] * len(feature_set.features), amount=100 + number)
    return msgspec.structs.replace(made, feature_version=feature_set.version)


def numbered(vectors: list[FeatureVector], first: int = 0) -> list[Delivery]:
    return [
        Delivery(delivery.record._replace(produced_ms=first + at), delivery.event)
        for at, delivery in enumerate(delivered(FEATURES, [*vectors], first_offset=first))
    ]


def archive_of(home: Path, feature_set: FeatureSet) -> Archive:
    return Archive(home / "archive", [feature_set])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A history served in the old version, but for the last five payments, which are of the new one."""
    archive_of(tmp_path, OLD).write(numbered([served(at, OLD) for at in range(DAYS - 5)]))
    archive_of(tmp_path, NEW).write(
        numbered([served(at, NEW, value=-1.0) for at in range(DAYS - 5, DAYS)], first=DAYS - 5)
    )
    return tmp_path


def sums(rows: pl.DataFrame) -> dict[str, float]:
    return dict(zip(rows["transaction_id"], rows["feature_card_sum_amount_2d"], strict=True))


def vectors_of(archive: Archive) -> pl.DataFrame:
    return archive.vectors(NEW, ["transaction_id", *feature_columns(NEW)], since=START.date())


def test_the_payments_that_lack_the_version_get_it_and_what_was_served_stays(home: Path) -> None:
    kept, told = archive_of(home, NEW), list[Progress]()
    assert fill_archive(kept, NEW, show=told.append) == DAYS - 5
    found = sums(vectors_of(kept))
    assert len(found) == DAYS
    assert (found["t0"], found["t1"], found["t34"], found["t35"]) == (100, 201, 267, -1)
    assert told[-1] == Progress(1.0, DAYS - 5)
    assert fill_archive(kept, NEW, show=told.append) == 0
    assert len(vectors_of(kept)) == DAYS


def test_vectors_served_later_at_the_same_place_go_before_backfilled_ones(home: Path) -> None:
    kept = archive_of(home, NEW)
    fill_archive(kept, NEW, show=lambda _: None)
    kept.write(numbered([served(3, NEW, value=7.0)], first=3))
    assert sums(vectors_of(kept))["t3"] == 7.0
    assert len(vectors_of(kept)) == DAYS


def test_backfilled_vectors_are_never_taken_for_served_ones(home: Path) -> None:
    kept = archive_of(home, NEW)
    fill_archive(kept, NEW, show=lambda _: None)
    newest = kept.newest_vectors(NEW, count=1_000, produced_until_ms=10**15, after={})
    assert sorted(newest["transaction_id"]) == ["t35", "t36", "t37", "t38", "t39"]


def test_only_payments_from_a_day_on_are_filled_and_those_before_are_their_history(home: Path) -> None:
    kept = archive_of(home, NEW)
    assert fill_archive(kept, NEW, since=date(2026, 4, 1), show=lambda _: None) == 5
    assert sums(vectors_of(kept))["t30"] == 259


def test_labels_count_from_when_they_arrived(home: Path) -> None:
    kept = archive_of(home, NEW)
    known = label(served(10, OLD).transaction, known_after=DAY)
    (delivery,) = delivered(LABELS, [known])
    kept.write([Delivery(delivery.record._replace(produced_ms=20), known)])
    fill_archive(kept, NEW, show=lambda _: None)
    frauds = kept.vectors(NEW, ["occurred_at", "feature_card_fraud_count_30d"], since=START.date()).sort("occurred_at")
    assert frauds["feature_card_fraud_count_30d"][:35].to_list() == [0] * 20 + [1] * 15


def test_training_reads_served_and_backfilled_vectors_once_each(home: Path) -> None:
    kept = archive_of(home, NEW)
    frauds = [label(served(at, OLD).transaction, known_after=DAY) for at in range(0, DAYS, 4)]
    kept.write(delivered(LABELS, [*frauds]))
    fill_archive(kept, NEW, show=lambda _: None)
    kept.write(numbered([served(3, NEW)], first=3))
    data = read_training_set(kept, NEW, settings(home, rows_min=2, frauds_min=2))
    assert len(data.frauds) == len(set(data.times.tolist())) == DAYS - 2


def test_payments_of_unknown_versions_are_history_too(home: Path) -> None:
    stranger = msgspec.structs.replace(served(DAYS, NEW), feature_version="0" * 64)
    kept = archive_of(home, NEW)
    kept.write(numbered([stranger], first=DAYS))
    assert len(kept.payments(since=START.date())) == DAYS + 1
    assert fill_archive(kept, NEW, show=lambda _: None) == DAYS - 5 + 1
    assert sums(vectors_of(kept))[f"t{DAYS}"] == 139 + 140


def test_a_file_holds_every_payment_and_the_archive_stays_as_it_was(home: Path) -> None:
    kept, before = archive_of(home, NEW), sorted((home / "archive").rglob("*"))
    out = home / "all.parquet"
    assert write_file(kept, NEW, out, show=lambda _: None) == DAYS
    rows = pl.read_parquet(out)
    assert rows.columns == VECTOR_COLUMNS + feature_columns(NEW)
    assert (sums(rows)["t0"], sums(rows)["t39"]) == (100, 277)
    assert rows["feature_version"].unique().to_list() == [NEW.version]
    assert sorted((home / "archive").rglob("*")) == before
    assert sorted(path.name for path in home.iterdir()) == ["all.parquet", "archive"]


def test_the_command_tells_rows_and_version(home: Path) -> None:
    result = CliRunner().invoke(app, ["features", "backfill", "--home", str(home), "--since", "2026-03-12"])
    assert result.exit_code == 0, result.output
    assert f"Wrote {DAYS - 10} vectors of version {FRAUD.version[:12]} into the archive" in result.output
    out = home / "out.parquet"
    result = CliRunner().invoke(app, ["features", "backfill", "--home", str(home), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert len(pl.read_parquet(out)) == DAYS


def test_the_command_refuses_a_folder_that_is_not_there(home: Path) -> None:
    out = home / "nowhere" / "out.parquet"
    result = CliRunner().invoke(app, ["features", "backfill", "--home", str(home), "--out", str(out)])
    assert result.exit_code == 2
    assert "there is no folder" in result.output


def test_an_empty_archive_is_no_error(tmp_path: Path) -> None:
    assert fill_archive(archive_of(tmp_path, NEW), NEW, show=lambda _: None) == 0
    assert write_file(archive_of(tmp_path, NEW), NEW, tmp_path / "none.parquet", show=lambda _: None) == 0
    assert len(pl.read_parquet(tmp_path / "none.parquet")) == 0
