"""Files through a real ingest, until every event is on the log once."""

import csv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from services.ingest.replay import ReplayError, ReplayPlan, ReplayProgress, replay
from shared.contracts.events import Label, Transaction
from shared.files.event_file import FileError
from shared.files.sources import open_source
from shared.files.stream import Step, steps
from shared.runtime.clock import ManualClock
from tests.unit.ingest.serving import NOW, FaultyBus, Running, serving

START = datetime(2026, 3, 1, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {
        "ID": n,
        "WHEN": START.replace(tzinfo=None) + timedelta(hours=n),
        "CARD": n % 3,
        "SHOP": 100 + n % 2,
        "PAID": n + 0.29,
        "FRAUD": int(n % 4 == 0),
    }
    for n in range(10)
]
COLUMNS = {
    "transaction_id": "ID",
    "occurred_at": "WHEN",
    "card_id": "CARD",
    "merchant_id": "SHOP",
    "amount": "PAID",
    "attributes.day": "SHOP",
}
CONSTANTS = {"currency": "EUR", "channel": "card_present", "country": "BE", "mcc": "5411"}


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pl.DataFrame(rows).write_parquet(path)


def plan_for(path: Path, rows: list[dict[str, Any]] = ROWS, **choices: Any) -> ReplayPlan:
    write = {".csv": write_csv, ".jsonl": write_json_lines, ".parquet": write_parquet}[path.suffix]
    write(path, rows)
    defaults: dict[str, Any] = {"columns": COLUMNS, "constants": CONSTANTS, "amount_unit": "major"}
    return ReplayPlan(file=path, **(defaults | choices))


def ids(ingest: Running) -> list[str]:
    return sorted(event.transaction_id for event in ingest.events("transactions") if isinstance(event, Transaction))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture
def ingest(server: Running) -> Running:
    return server.fresh()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_row_becomes_a_payment(ingest: Running, tmp_path: Path, suffix: str) -> None:
    summary = replay(plan_for(tmp_path / f"payments{suffix}", batch_events=4), base_url=ingest.url, home=tmp_path)
    assert (summary.accepted, summary.rejected, summary.resumed) == (10, 0, 0)
    assert summary.sent == {"transactions": 10}
    payments = [event for event in ingest.events("transactions") if isinstance(event, Transaction)]
    assert ids(ingest) == [str(n) for n in range(10)]
    for payment in payments:
        n = int(payment.transaction_id)
        assert payment.occurred_at == START + timedelta(hours=n)
        assert payment.amount == 100 * n + 29
        assert (payment.card_id, payment.merchant_id) == (str(n % 3), str(100 + n % 2))
        assert payment.attributes == {"day": 100.0 + n % 2}
    for card in "012":
        times = [payment.occurred_at for payment in payments if payment.card_id == card]
        assert times == sorted(times)


def test_a_range_of_event_time(ingest: Running, tmp_path: Path) -> None:
    since, until = START + timedelta(hours=2), START + timedelta(hours=5)
    plan = plan_for(tmp_path / "payments.csv", since=since, until=until)
    replay(plan, base_url=ingest.url, home=tmp_path)
    assert ids(ingest) == ["2", "3", "4"]  # the end is not included


def stream(plan: ReplayPlan) -> list[Step]:
    return list(steps(plan, open_source(plan.file)))


def test_labels_come_when_they_become_known(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "payments.parquet", fraud_column="FRAUD", label_delay=timedelta(hours=2))
    told = [(step.topic[0], step.event["transaction_id"]) for step in stream(plan)]
    assert told[:6] == [("t", "0"), ("t", "1"), ("l", "0"), ("t", "2"), ("l", "1"), ("t", "3")]
    assert told[-2:] == [("l", "7"), ("t", "9")]  # 8 and 9 become known after the last payment
    times = [step.occurred_at for step in stream(plan)]
    assert times == sorted(times)


@pytest.mark.parametrize(("after_end", "count"), [(False, 8), (True, 10)])
def test_labels_on_the_log(ingest: Running, tmp_path: Path, after_end: bool, count: int) -> None:
    plan = plan_for(
        tmp_path / "payments.csv",
        fraud_column="FRAUD",
        label_delay=timedelta(hours=2),
        labels_after_end=after_end,
    )
    assert replay(plan, base_url=ingest.url, home=tmp_path).sent == {"transactions": 10, "labels": count}
    labels = {event.transaction_id: event for event in ingest.events("labels") if isinstance(event, Label)}
    assert len(labels) == count
    fraud, genuine = labels["4"], labels["5"]
    assert (fraud.label, fraud.source, fraud.card_id) == ("fraud", "chargeback", "1")
    assert (genuine.label, genuine.source) == ("genuine", "review")
    assert fraud.occurred_at == START + timedelta(hours=6)


def test_an_interrupted_replay_goes_on_where_it_stopped(tmp_path: Path) -> None:
    bus, clock = FaultyBus(), ManualClock(NOW)

    def break_down(progress: ReplayProgress) -> None:
        bus.away = progress.accepted >= 6

    with serving(bus, clock=clock) as ingest:
        plan = plan_for(tmp_path / "payments.csv", batch_events=2, fraud_column="FRAUD", label_delay=timedelta(hours=2))
        with pytest.raises(ReplayError, match="run the same command again"):
            replay(plan, base_url=ingest.url, home=tmp_path, progress=break_down, patience_seconds=0.1)
        bus.away = False
        clock.advance(timedelta(seconds=5))
        summary = replay(plan, base_url=ingest.url, home=tmp_path)
        assert summary.resumed == 6
        assert sum(summary.sent.values()) == 12
        assert (summary.accepted, summary.rejected) == (18, 0)
        assert ids(ingest) == [str(n) for n in range(10)]
        assert len(ingest.events("labels")) == 8
        again = replay(plan, base_url=ingest.url, home=tmp_path)
        assert again.resumed == 0  # a finished replay starts over
        assert len({event.event_id for event in ingest.events("transactions")}) == 10


def test_restart_begins_again(ingest: Running, tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "payments.csv", batch_events=2)

    def interrupt(progress: ReplayProgress) -> None:
        if progress.accepted == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(plan, base_url=ingest.url, home=tmp_path, progress=interrupt)
    summary = replay(plan, base_url=ingest.url, home=tmp_path, restart=True)
    assert (summary.resumed, summary.accepted) == (0, 10)


def test_a_log_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    bus, clock = FaultyBus(), ManualClock(NOW)
    waited: list[str] = []

    def repair(progress: ReplayProgress) -> None:
        if progress.waiting is not None:
            waited.append(progress.waiting)
            bus.away = False
            clock.advance(timedelta(seconds=5))

    with serving(bus, clock=clock) as ingest:
        bus.away = True
        summary = replay(plan_for(tmp_path / "payments.csv"), base_url=ingest.url, home=tmp_path, progress=repair)
        assert summary.accepted == 10
        assert "nothing was taken" in waited[0]
        assert ids(ingest) == [str(n) for n in range(10)]


def test_refused_rows_are_kept_with_their_reason(ingest: Running, tmp_path: Path) -> None:
    bad: dict[int, dict[str, Any]] = {2: {"PAID": -5}, 4: {"PAID": "much"}, 6: {"CARD": ""}, 8: {"WHEN": "never"}}
    rows = [row | bad.get(row["ID"], {}) for row in ROWS]
    summary = replay(plan_for(tmp_path / "payments.csv", rows), base_url=ingest.url, home=tmp_path)
    assert (summary.accepted, summary.rejected) == (6, 4)
    assert summary.rejected_file is not None
    refused = [msgspec.json.decode(line) for line in summary.rejected_file.read_bytes().splitlines()]
    assert {(entry["row"], entry["error"]["field"].rpartition(".")[2]) for entry in refused} == {
        (3, "amount"),
        (5, "amount"),
        (7, "card_id"),
        (9, "occurred_at"),
    }
    assert all(entry["error"]["message"] and entry["event"] for entry in refused)


def test_a_line_that_is_no_row_is_refused_alone(ingest: Running, tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "payments.jsonl")
    plan.file.write_bytes(plan.file.read_bytes() + b'\n{"ID": \n[1]\n\n')
    summary = replay(plan, base_url=ingest.url, home=tmp_path)
    assert (summary.accepted, summary.rejected) == (10, 2)


def test_a_wrong_mapping_is_noticed_at_once(ingest: Running, tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "payments.csv", constants=CONSTANTS | {"country": "Belgium"}, batch_events=3)
    with pytest.raises(ReplayError, match=r"first 3 events.*row 1.*country.*ISO 3166"):
        replay(plan, base_url=ingest.url, home=tmp_path)
    assert ids(ingest) == []


def test_a_file_out_of_order_is_refused_unless_it_is_sorted_first(ingest: Running, tmp_path: Path) -> None:
    shuffled = [*ROWS[:3], *ROWS[4:], ROWS[3]]
    plan = plan_for(tmp_path / "payments.csv", shuffled, batch_events=1)
    with pytest.raises(FileError, match=r"row 10 .* is older than row 9"):
        replay(plan, base_url=ingest.url, home=tmp_path)
    plan = plan_for(tmp_path / "sorted.csv", shuffled, sort=True)
    assert [step.event["transaction_id"] for step in stream(plan)] == [str(n) for n in range(10)]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("payments.xlsx", b"", "unknown format"),
        ("payments.csv", b"", "first line must name the columns"),
        ("payments.csv", "Prénom\n".encode("latin-1"), "not UTF-8"),
        ("payments.parquet", b"ID,WHEN\n", "not Parquet"),
        ("absent.csv", None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=told):
        replay(ReplayPlan(file=tmp_path / name), base_url="http://127.0.0.1:9", home=tmp_path)


@pytest.mark.parametrize(
    ("address", "told"), [("localhost:8001", "not an address"), ("{url}/v2", "refused a batch: 404")]
)
def test_a_wrong_address_is_not_waited_for(ingest: Running, tmp_path: Path, address: str, told: str) -> None:
    with pytest.raises(ReplayError, match=told):
        replay(plan_for(tmp_path / "payments.csv"), base_url=address.format(url=ingest.url), home=tmp_path)


@pytest.mark.parametrize(
    ("choices", "seconds"),
    [
        ({"speed": 3600.0}, 9.0),
        ({"rate": 2.0}, 4.5),
        ({}, 0.0),
        ({"speed": 3600.0, "since": START + timedelta(hours=4)}, 5.0),
    ],
)
def test_pace(ingest: Running, tmp_path: Path, choices: dict[str, Any], seconds: float) -> None:
    clock = ManualClock(NOW)
    sleep: Callable[[float], None] = lambda early: clock.advance(timedelta(seconds=early))  # noqa: E731
    plan = plan_for(tmp_path / "payments.csv", **choices)
    summary = replay(plan, base_url=ingest.url, home=tmp_path, clock=clock, sleep=sleep)
    assert summary.seconds == pytest.approx(seconds)


@pytest.mark.parametrize("plan", [{"speed": 60.0, "rate": 10.0}, {"rate": -1.0}, {"batch_events": 0}])
def test_a_plan_that_cannot_work_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(ReplayError):
        ReplayPlan(file=Path("payments.csv"), **plan)
