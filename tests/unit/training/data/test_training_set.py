"""The training set: matured payments in order of time, with labels as they were known."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.training.data import dataset
from services.training.data.dataset import PERIOD_DAYS, Reading, TrainingSet, read_training_set, training_set
from shared.contracts.events import FeatureVector, Label
from shared.contracts.topics import FEATURES, LABELS
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import FeatureSet
from tests.events import START, label, payment
from tests.unit.training.training_scene import AMOUNT, DAY, archive, delivered, settings, vector, world


def build(
    home: Path, vectors: list[FeatureVector], labels: list[Label], *, as_of_days: float, **changes: Any
) -> TrainingSet:
    kept = archive(home)
    kept.write([*delivered(FEATURES, vectors), *delivered(LABELS, labels)])
    return training_set(kept, FRAUD, settings(home, **changes), as_of=START + as_of_days * DAY)


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


def test_more_days_than_are_read_at_once_stay_in_order(tmp_path: Path) -> None:
    days = 3 * PERIOD_DAYS + 2
    data = build(tmp_path, numbered(days), [], as_of_days=days + 5)
    assert data.rows[:, AMOUNT].tolist() == list(range(days))


def test_cards_have_a_number_each_and_amounts_are_the_payments_own(tmp_path: Path) -> None:
    vectors = [vector(f"t{at}", after=at * DAY, card_id=f"card-{at % 2}", amount=100 + at) for at in range(4)]
    data = build(tmp_path, vectors, [], as_of_days=9)
    assert (data.cards[0], data.cards[1]) == (data.cards[2], data.cards[3])
    assert data.cards[0] != data.cards[1]
    assert data.amounts.tolist() == [100, 101, 102, 103]


def test_what_has_neither_matured_nor_got_a_label_is_unlabelled(tmp_path: Path) -> None:
    vectors = numbered(8)
    labels = [label(vectors[6].transaction, known_after=timedelta(hours=1))]
    data = build(tmp_path, vectors, labels, as_of_days=7, label_delay_days=3)
    assert data.rows[:, AMOUNT].tolist() == [0, 1, 2, 3, 4]
    assert data.unlabelled[:, AMOUNT].tolist() == [5, 7]


def test_of_too_many_unlabelled_payments_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "UNLABELLED_ROWS_MAX", 2)
    data = build(tmp_path, numbered(8), [], as_of_days=7, label_delay_days=4)
    assert data.unlabelled[:, AMOUNT].tolist() == [6, 7]


def test_the_digest_covers_everything_that_is_learnt_from(tmp_path: Path) -> None:
    data = build(tmp_path, numbered(6), [], as_of_days=5)
    changes: list[dict[str, Any]] = [
        {name: getattr(data, name) + 1} for name in ("rows", "frauds", "times", "cards", "amounts", "unlabelled")
    ]
    changes += [{"feature_set": FeatureSet("fraud", FRAUD.features[::-1])}, {"unlabelled": data.unlabelled[:1]}]
    digests = [replace(data, **change).digest for change in changes]
    assert len({data.digest, *digests}) == 1 + len(changes)
    assert replace(data, as_of=START).digest == data.digest


def test_a_part_keeps_what_belongs_together_and_no_newer_payments(tmp_path: Path) -> None:
    vectors = [vector(f"t{at}", after=at * DAY, values=[at] * len(FRAUD.features), amount=at) for at in range(6)]
    data = build(tmp_path, vectors, [], as_of_days=5)
    part = data.part(data.amounts % 2 == 1)
    assert part.rows[:, AMOUNT].tolist() == part.amounts.tolist() == [1, 3]
    assert part.times.tolist() == data.times[[1, 3]].tolist()
    assert (len(data.unlabelled), part.unlabelled.shape) == (2, (0, len(FRAUD.features)))


def test_what_reading_came_across_is_counted(tmp_path: Path) -> None:
    vectors = [*numbered(6), vector("t1", after=DAY)]
    vectors[0] = msgspec.structs.replace(vectors[0], degraded=["incomplete"])
    labels = [label(vectors[at].transaction, known_after=timedelta(hours=1)) for at in (2, 3, 4)]
    strange = label(payment("never seen"), known_after=DAY)
    data = build(tmp_path, vectors, [*labels, strange], as_of_days=5)
    assert data.reading == Reading(repeated=1, degraded=1, labels=4, labels_matured=2, labels_immature=1)


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
