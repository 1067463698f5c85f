"""The training set: matured payments, labels as known, and refusals that say what is missing."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.training.candidate import split_by_time
from services.training.dataset import TrainingSet, read_training_set, training_set
from services.training.refusal import RefusedError
from shared.contracts.events import FeatureVector, Label
from shared.contracts.topics import FEATURES, LABELS
from shared.features.catalog.fraud import FRAUD
from tests.events import START, label
from tests.unit.training.training_scene import AMOUNT, DAY, archive, delivered, settings, vector, world


def build(
    home: Path, vectors: list[FeatureVector], labels: list[Label], *, as_of_days: float, **changes: Any
) -> TrainingSet:
    kept = archive(home)
    kept.write([*delivered(FEATURES, vectors), *delivered(LABELS, labels)])
    columns = ["transaction_id", "occurred_at", *(f"feature_{name}" for name in FRAUD.feature_names)]
    return training_set(
        kept.vectors(FRAUD, columns, since=START.date()),
        kept.labels(since=START.date()),
        FRAUD,
        settings(home, **changes),
        as_of=START + as_of_days * DAY,
    )


def numbered(count: int, *, every: timedelta = DAY) -> list[FeatureVector]:
    return [
        vector(f"t{at}", after=at * every, values=[float(at)] + [0.0] * (len(FRAUD.features) - 1))
        for at in range(count)
    ]


def frauds(data: TrainingSet) -> dict[int, int]:
    return dict(zip(data.rows[:, AMOUNT].astype(int).tolist(), data.frauds.tolist(), strict=True))


def test_a_label_counts_from_when_it_became_known(tmp_path: Path) -> None:
    vectors = numbered(2)
    labels = [label(vectors[0].transaction, known_after=5 * DAY)]
    assert frauds(build(tmp_path, vectors, labels, as_of_days=4)) == {0: 0, 1: 0}
    assert frauds(build(tmp_path, vectors, labels, as_of_days=5)) == {0: 1, 1: 0}


def test_the_latest_known_label_wins_whatever_the_order_of_arrival(tmp_path: Path) -> None:
    (made,) = numbered(1)
    labels = [
        label(made.transaction, "genuine", known_after=6 * DAY),
        label(made.transaction, "fraud", known_after=3 * DAY),
    ]
    assert frauds(build(tmp_path, [made], labels, as_of_days=5)) == {0: 1}
    assert frauds(build(tmp_path, [made], labels, as_of_days=7)) == {0: 0}


def test_an_immature_payment_is_left_out_even_when_it_is_labelled(tmp_path: Path) -> None:
    vectors = numbered(5)
    labels = [label(vectors[4].transaction, known_after=timedelta(hours=1))]
    assert frauds(build(tmp_path, vectors, labels, as_of_days=5)) == {0: 0, 1: 0, 2: 0, 3: 0}


def test_the_window_keeps_the_newest_matured_days(tmp_path: Path) -> None:
    data = build(tmp_path, numbered(8), [], as_of_days=7, window_days=3)
    assert sorted(frauds(data)) == [3, 4, 5]


def test_a_payment_sent_twice_is_one_row(tmp_path: Path) -> None:
    data = build(tmp_path, [*numbered(2), vector("t1", after=DAY)], [], as_of_days=9)
    assert frauds(data) == {0: 0, 1: 0}


def test_rows_stand_in_order_of_time_and_the_digest_names_them(tmp_path: Path) -> None:
    vectors = numbered(6)
    labels = [label(vectors[2].transaction, known_after=DAY)]
    data = build(tmp_path / "a", vectors, labels, as_of_days=9)
    shuffled = build(tmp_path / "b", vectors[::-1], labels, as_of_days=9)
    unlabelled = build(tmp_path / "c", vectors, [], as_of_days=9)
    assert data.rows[:, AMOUNT].tolist() == [0, 1, 2, 3, 4, 5]
    assert data.rows.dtype == np.float32
    assert data.digest == shuffled.digest != unlabelled.digest


def test_as_of_is_the_newest_event_time_in_the_archive(tmp_path: Path) -> None:
    scene = world(days=6)
    kept = archive(tmp_path)
    kept.write(scene.deliveries())
    data = read_training_set(kept, FRAUD, settings(tmp_path))
    newest = max(event.occurred_at for event in [*scene.vectors, *scene.labels])
    assert data.as_of == newest
    matured = [v for v in scene.vectors if v.occurred_at <= newest - 2 * DAY]
    labelled = {known.transaction_id for known in scene.labels}
    assert len(data.frauds) == len(matured)
    assert data.frauds.sum() == sum(v.transaction.transaction_id in labelled for v in matured)


@pytest.mark.parametrize(
    ("days", "labelled", "code", "told"),
    [
        (0, True, "no_payments", "archive has caught up"),
        (3, True, "too_few_rows", "HEADRACE_TRAINING_ROWS_MIN"),
        (6, False, "too_few_frauds", "send labels"),
    ],
)
def test_too_little_to_train_on_is_refused(tmp_path: Path, days: int, labelled: bool, code: str, told: str) -> None:
    scene = world(days=days)
    kept = archive(tmp_path)
    kept.write(scene.deliveries() if labelled else delivered(FEATURES, scene.vectors))
    with pytest.raises(RefusedError, match=told) as refused:
        read_training_set(kept, FRAUD, settings(tmp_path))
    assert refused.value.code == code


@pytest.mark.parametrize(("frauds_at", "part"), [([0, 1], "held-out"), ([98, 99], "earlier")])
def test_one_class_on_either_side_of_the_split_is_refused(frauds_at: list[int], part: str) -> None:
    labels = np.zeros(100, dtype=np.int8)
    labels[frauds_at] = 1
    rows = np.zeros((100, len(FRAUD.features)), dtype=np.float32)
    data = TrainingSet(FRAUD, rows, labels, np.arange(100), START)
    with pytest.raises(RefusedError, match=part) as refused:
        split_by_time(data, 0.2)
    assert refused.value.code == "one_class"


def test_payments_of_one_instant_are_not_torn_apart() -> None:
    labels = np.tile(np.array([0, 1], dtype=np.int8), 50)
    rows = np.zeros((100, len(FRAUD.features)), dtype=np.float32)
    data = TrainingSet(FRAUD, rows, labels, np.repeat(np.arange(10), 10), START)
    earlier, held_out = split_by_time(data, 0.25)
    assert earlier.times.max() < held_out.times.min()
    assert (len(earlier.times), len(held_out.times)) == (70, 30)
