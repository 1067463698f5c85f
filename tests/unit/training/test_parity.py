"""The parity job: silent where the archive bears the vectors out, and telling where it does not."""

import logging
from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from services.training.archive import Archive
from services.training.parity import SETTLED_SECONDS, Mismatch, ParityJob, histories, mismatches
from shared.contracts.events import Label, Transaction
from shared.contracts.topics import FEATURES, LABELS
from shared.features.backfill import backfilled
from shared.features.catalog.fraud import FRAUD
from shared.runtime import metrics
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery
from tests.events import START, label, payment
from tests.unit.training.training_scene import record, vector

SUM = "card_sum_amount_1d"
MINUTE_MS = 60_000
START_MS = int(START.timestamp() * 1000)


def events(count: int) -> list[Transaction | Label]:
    """A payment a minute over three cards and two merchants; every fifth is soon known to be fraud."""
    made: list[Transaction | Label] = []
    for number in range(count):
        paid = payment(
            f"t{number}",
            after=timedelta(minutes=number),
            card_id=f"card-{number % 3}",
            merchant_id=f"merchant-{number % 2}",
            device_id=f"device-{number % 4}" if number % 7 else None,
            amount=100 + number,
        )
        made.append(paid)
        if number % 5 == 0:
            made.append(label(paid, known_after=timedelta(minutes=2)))
    return made


def log_of(happened: list[Transaction | Label]) -> list[Delivery]:
    """Payments with empty vectors, and labels, as the archive's topics would carry them."""
    dealt: list[Delivery] = []
    for at, event in enumerate(happened):
        produced_ms = int(event.occurred_at.timestamp() * 1000)
        if isinstance(event, Label):
            dealt.append(Delivery(record(LABELS, event, offset=at, produced_ms=produced_ms), event))
        else:
            empty = msgspec.structs.replace(
                vector(event.transaction_id), transaction=event, occurred_at=event.occurred_at
            )
            dealt.append(Delivery(record(FEATURES, empty, partition=at % 2, offset=at, produced_ms=produced_ms), empty))
    return dealt


def archived(home: Path, happened: list[Transaction | Label], *, plant: dict[str, float] | None = None) -> Archive:
    """Return an archive with the right vectors; `plant` puts a wrong card sum into those of some payments."""
    log = log_of(happened)
    drafts = Archive(home / "drafts", [FRAUD])
    drafts.write(log)
    result = backfilled(FRAUD, drafts.payments(since=START.date()), drafts.labels(since=START.date()))
    right = dict(zip(result.payments["transaction_id"], result.values.tolist(), strict=True))
    for transaction_id, wrong in (plant or {}).items():
        right[transaction_id][FRAUD.feature_names.index(SUM)] = wrong
    kept = Archive(home / "archive", [FRAUD])
    kept.write([_served(delivery, right) for delivery in log])
    return kept


def _served(delivery: Delivery, values: dict[str, list[float]]) -> Delivery:
    if isinstance(delivery.event, Label):
        return delivery
    transaction_id = delivery.event.transaction.transaction_id  # type: ignore[attr-defined]
    return Delivery(delivery.record, msgspec.structs.replace(delivery.event, values=values[transaction_id]))


def job(archive: Archive, *, sample: int = 200, now: timedelta = timedelta(days=1)) -> ParityJob:
    return ParityJob(archive, FRAUD, ManualClock(START + now), interval_seconds=1, sample=sample)


def checked() -> float:
    return metrics.REGISTRY.get_sample_value("headrace_parity_checked_total") or 0.0


def counted(feature: str) -> float:
    return metrics.REGISTRY.get_sample_value("headrace_parity_mismatches_total", {"feature": feature}) or 0.0


def test_vectors_that_the_archive_bears_out_are_counted_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = checked()
    assert job(archived(tmp_path, events(60))).check() == []
    assert checked() - before == 60
    assert caplog.records == []


def test_a_planted_difference_is_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    right = sum(100 + number for number in range(40) if number % 3 == 39 % 3)
    before, others = counted(SUM), counted("card_count_1d")
    with caplog.at_level(logging.ERROR):
        found = job(archived(tmp_path, events(60), plant={"t39": right + 1.0})).check()
    assert found == [Mismatch("t39", SUM, right + 1.0, right)]
    assert (counted(SUM) - before, counted("card_count_1d") - others) == (1, 0)
    (line,) = caplog.records
    assert line.fields == found[0]._asdict()  # type: ignore[attr-defined]


def test_each_vector_is_checked_once_and_the_newest_first(tmp_path: Path) -> None:
    kept = archived(tmp_path, events(30), plant={"t29": -1.0, "t2": -1.0})
    running, before = job(kept, sample=10), checked()
    assert [mismatch.transaction_id for mismatch in running.check()] == ["t29"]
    assert running.check() == []
    assert checked() - before == 10
    kept.write(_later(events(32)[-3:]))
    running.check()
    assert checked() - before == 12


def _later(happened: list[Transaction | Label]) -> list[Delivery]:
    return [
        Delivery(delivery.record._replace(offset=1_000 + at), delivery.event)
        for at, delivery in enumerate(log_of(happened))
    ]


def test_a_vector_waits_until_what_came_before_it_is_archived_too(tmp_path: Path) -> None:
    kept = archived(tmp_path, events(10))
    before = checked()
    job(kept, now=timedelta(minutes=5, seconds=SETTLED_SECONDS)).check()
    assert checked() - before == 6


def test_a_vector_that_says_its_state_was_lost_is_left_out(tmp_path: Path) -> None:
    kept = Archive(tmp_path / "archive", [FRAUD])
    kept.write(
        [
            Delivery(delivery.record, msgspec.structs.replace(delivery.event, degraded=["incomplete"]))
            for delivery in log_of([payment("t0")])
        ]
    )
    before = checked()
    assert job(kept).check() == []
    assert checked() == before


def test_an_unreadable_archive_is_said_and_the_service_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = archived(tmp_path, events(3))
    damaged = min((tmp_path / "archive" / "features").rglob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert job(kept).check() == []
    assert damaged.name in caplog.text


def test_only_the_entities_concerned_are_read(tmp_path: Path) -> None:
    kept = archived(
        tmp_path, [*events(9), payment("else", card_id="card-9", merchant_id="merchant-9", device_id="device-9")]
    )
    sample = kept.newest_vectors(FRAUD, count=100, produced_until_ms=10**15, after={}).filter(
        pl.col("transaction_id") == "t8"
    )
    payments, labels = histories(kept, FRAUD, sample)
    assert sorted(payments["transaction_id"]) == ["t0", "t2", "t4", "t5", "t6", "t8"]
    assert sorted(labels["transaction_id"]) == ["t0", "t5"]


def test_beyond_the_exact_payments_counts_are_held_to_the_stated_bound(tmp_path: Path) -> None:
    count = 2_600
    spread = [
        payment(f"t{number}", after=timedelta(seconds=number), card_id=f"card-{number}") for number in range(count)
    ]
    kept = archived(tmp_path, [*spread])
    sample = kept.newest_vectors(FRAUD, count=10_000, produced_until_ms=10**15, after={}).filter(
        pl.col("transaction_id") == f"t{count - 1}"
    )
    for off, found in ((count / 128 - 1, []), (count / 128 + 1, ["merchant_count_1h"])):
        wrong = sample.with_columns(
            pl.col("feature_merchant_count_1h") + off, feature_merchant_distinct_card_1h=pl.lit(1.0)
        )
        assert [m.feature for m in mismatches(FRAUD, wrong, *histories(kept, FRAUD, sample))] == found
