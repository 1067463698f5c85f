"""Bad input to training: each kind is refused, by a message that says what is wrong, where, and what to do."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from services.training.data.dataset import read_training_set
from services.training.refusal import RefusedError
from shared.contracts.topics import FEATURES, LABELS
from shared.features.catalog.fraud import FRAUD
from tests.events import label
from tests.unit.training.training_scene import DAY, World, archive, delivered, settings, world

COUNT = "feature_card_count_1d"


def refusal(home: Path, scene: World | None) -> RefusedError:
    """Return why nothing can be trained on `scene`, or on what `home` holds already."""
    kept = archive(home)
    if scene is not None:
        kept.write(scene.deliveries())
    with pytest.raises(RefusedError) as refused:
        read_training_set(kept, FRAUD, settings(home))
    return refused.value


def test_nothing_archived(tmp_path: Path) -> None:
    refused = refusal(tmp_path, None)
    assert refused.code == "no_payments"
    assert "archive has caught up" in str(refused)


def test_too_few_payments(tmp_path: Path) -> None:
    refused = refusal(tmp_path, world(days=3))
    assert refused.code == "too_few_rows"
    assert "HEADRACE_TRAINING_ROWS_MIN" in str(refused)


def test_no_label_at_all(tmp_path: Path) -> None:
    refused = refusal(tmp_path, World(world(days=6).vectors, []))
    assert refused.code == "no_labels"
    assert "no label at all is archived for the " in str(refused)


def test_labels_that_came_only_for_payments_that_have_not_matured(tmp_path: Path) -> None:
    vectors = world(days=6).vectors
    labels = [label(newest.transaction, known_after=timedelta(minutes=1)) for newest in vectors[-20:]]
    refused = refusal(tmp_path, World(vectors, labels))
    assert refused.code == "labels_late"
    assert "labels came for 20 newer payments" in str(refused)
    assert "HEADRACE_TRAINING_LABEL_DELAY_DAYS" in str(refused)


def test_labels_of_other_transactions(tmp_path: Path) -> None:
    others = world(days=6, seed=1)
    refused = refusal(tmp_path, World(world(days=6).vectors, others.labels))
    assert refused.code == "labels_unmatched"
    assert "transaction ids" in str(refused)


def test_labels_that_are_all_genuine(tmp_path: Path) -> None:
    vectors = world(days=6).vectors
    labels = [label(made.transaction, "genuine", known_after=DAY) for made in vectors[:50]]
    refused = refusal(tmp_path, World(vectors, labels))
    assert refused.code == "too_few_frauds"
    assert "50 of " in str(refused)
    assert "every one is labelled genuine" in str(refused)


def test_fewer_frauds_than_are_needed(tmp_path: Path) -> None:
    scene = world(days=6)
    refused = refusal(tmp_path, World(scene.vectors, scene.labels[:3]))
    assert refused.code == "too_few_frauds"
    assert "3 of " in str(refused)
    assert "HEADRACE_TRAINING_FRAUDS_MIN" in str(refused)


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def _overwritten(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[: len(content) // 2] = b"\x07" * (len(content) // 2)
    file.write_bytes(content)


def _without_a_column(file: Path) -> None:
    pl.read_parquet(file, hive_partitioning=False).drop(COUNT).write_parquet(file)


def _with_text(file: Path) -> None:
    pl.read_parquet(file, hive_partitioning=False).with_columns(pl.col(COUNT).cast(pl.String)).write_parquet(file)


def _with_a_null(file: Path) -> None:
    rows = pl.read_parquet(file, hive_partitioning=False)
    is_third = pl.int_range(pl.len()) == 2
    rows.with_columns(pl.when(~is_third).then(pl.col(COUNT)).alias(COUNT)).write_parquet(file)


@pytest.mark.parametrize(
    ("damage", "code", "told"),
    [
        (_truncated, "unreadable_archive", "{path}"),
        (_overwritten, "unreadable_archive", "{path}"),
        (_without_a_column, "missing_column", f"{{path}} lacks a column: .*{COUNT}"),
        (_with_text, "mixed_columns", f"not all have the same columns: .*{COUNT}.*restore the file"),
        (
            _with_a_null,
            "null_values",
            f"{COUNT} has no value for 1 payments.* t.* in date={{day}}, partition 0, offset",
        ),
    ],
)
def test_a_damaged_file(tmp_path: Path, damage: Callable[[Path], None], code: str, told: str) -> None:
    archive(tmp_path).write(world(days=6).deliveries())
    file = sorted((tmp_path / "archive" / "features").rglob("*.parquet"))[1]
    damage(file)
    refused = refusal(tmp_path, None)
    assert refused.code == code
    day = file.parent.name.removeprefix("date=")
    assert re.search(told.format(path=file, day=day), str(refused))


def test_a_column_that_only_the_oldest_file_lacks(tmp_path: Path) -> None:
    archive(tmp_path).write(world(days=6).deliveries())
    _without_a_column(min((tmp_path / "archive" / "features").rglob("*.parquet")))
    refused = refusal(tmp_path, None)
    assert refused.code == "mixed_columns"
    assert COUNT in str(refused)


def test_a_column_of_another_type_in_every_file(tmp_path: Path) -> None:
    archive(tmp_path).write(world(days=6).deliveries())
    for file in (tmp_path / "archive" / "features").rglob("*.parquet"):
        _with_text(file)
    refused = refusal(tmp_path, None)
    assert refused.code == "wrong_type"
    assert f"{COUNT} is archived as String" in str(refused)


def test_damaged_labels(tmp_path: Path) -> None:
    scene = world(days=6)
    kept = archive(tmp_path)
    kept.write([*delivered(FEATURES, scene.vectors), *delivered(LABELS, scene.labels)])
    file = min((tmp_path / "archive" / "labels").rglob("*.parquet"))
    file.write_bytes(b"")
    refused = refusal(tmp_path, None)
    assert refused.code == "unreadable_archive"
    assert str(file) in str(refused)
