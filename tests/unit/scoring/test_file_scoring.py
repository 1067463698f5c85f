"""Files of payments decided: as the stream decides them, whatever the format, in memory that does not grow with them."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.scoring.jobs.file_scoring import Decide, FileScoring, Progress
from services.scoring.jobs.history import PrivateHistory
from services.scoring.jobs.listing import Listed, entries_on
from services.scoring.jobs.payments import batches
from services.scoring.jobs.results import ResultRow
from services.scoring.model import ScoringModel
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector
from shared.contracts.topics import LISTS, TOPICS
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import DAY, Aggregation, Entity, FeatureSet, Window
from shared.features.engine import FeatureEngine
from shared.features.tiles import LATENESS
from shared.files.event_file import EventFile, FileError
from shared.files.sources import open_source
from shared.files.stream import steps
from shared.models.packages import Packages
from tests.events import START, TRACE_ID, payment
from tests.unit.scoring.file_scene import (
    BLOCKED,
    DELAY,
    deciding,
    loaded,
    payments,
    streamed,
    suspicious_by_everything,
    written,
)

ENGINE = FeatureEngine(FRAUD)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ScoringModel:
    packages = Packages(tmp_path_factory.mktemp("models"))
    return loaded(packages, suspicious_by_everything(packages))


@pytest.fixture(scope="module")
def decide(model: ScoringModel) -> Decide:
    return deciding(model)


def run(file: EventFile, decide: Decide, out: Path) -> Progress:
    return FileScoring(ENGINE, decide).run(file, out=out, rejected=out.with_name("rejected.jsonl"))


def decided(out: Path) -> list[ResultRow]:
    return [msgspec.json.decode(line, type=ResultRow) for line in out.read_bytes().splitlines()]


def refused(out: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in out.with_name("rejected.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("days", [2.0, 60.0])
def test_a_file_is_decided_as_the_stream_decides_its_payments(
    tmp_path: Path, model: ScoringModel, decide: Decide, days: float
) -> None:
    rows = payments(700, days=days)
    file = EventFile(written(tmp_path / "in.jsonl", rows), fraud_column="FRAUD", label_delay=DELAY)
    by_file: list[Decision] = []

    def decide_and_keep(vectors: Sequence[FeatureVector]) -> Sequence[Decision]:
        decisions = decide(vectors)
        by_file.extend(decisions)
        return decisions

    run(file, decide_and_keep, tmp_path / "out.jsonl")
    by_stream = streamed(rows, model, batch_records=90)
    assert decided(tmp_path / "out.jsonl") == [ResultRow.of(decision) for decision in by_stream]
    assert [decision.vector_digest for decision in by_file] == [decision.vector_digest for decision in by_stream]
    assert len({decision.vector_digest for decision in by_stream}) == len(rows)
    assert {decision.decision for decision in by_stream} == {"approve", "review", "decline"}
    assert {reason.code for decision in by_stream for reason in decision.reasons} >= {
        "score_review",
        "rule:very_large",
        "list:block:card",
    }


@pytest.mark.parametrize("suffix_in", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("suffix_out", [".csv", ".jsonl", ".parquet"])
def test_formats_say_the_same(tmp_path: Path, decide: Decide, suffix_in: str, suffix_out: str) -> None:
    rows = payments(40, days=3)
    run(EventFile(written(tmp_path / f"in{suffix_in}", rows)), decide, tmp_path / f"out{suffix_out}")
    run(EventFile(written(tmp_path / "same.jsonl", rows)), decide, tmp_path / "same.jsonl.jsonl")
    expected = [msgspec.to_builtins(row) for row in decided(tmp_path / "same.jsonl.jsonl")]
    if suffix_out == ".csv":
        found = pl.read_csv(tmp_path / "out.csv", schema_overrides={"reasons": pl.String, "degraded": pl.String})
        expected = [row | {name: " ".join(row[name]) for name in ("reasons", "degraded")} for row in expected]
    elif suffix_out == ".parquet":
        found = pl.read_parquet(tmp_path / "out.parquet")
    else:
        assert decided(tmp_path / "out.jsonl") == decided(tmp_path / "same.jsonl.jsonl")
        return
    assert found.to_dicts() == expected


def test_what_cannot_be_decided_is_told_with_its_row_and_nothing_else_is_lost(tmp_path: Path, decide: Decide) -> None:
    rows = payments(10, days=1)
    rows[2]["amount"] = "much"
    rows[4]["country"] = "Germany"
    rows[6]["card_id"] = ""
    rows[8] = rows[7]
    progress = run(EventFile(written(tmp_path / "in.csv", rows)), decide, tmp_path / "out.jsonl")
    assert (progress.decided, progress.refused, progress.fraction) == (6, 4, 1.0)
    assert sum(progress.verdicts.values()) == 6
    told = {
        (entry["row"], entry["error"]["field"], entry["error"]["code"]) for entry in refused(tmp_path / "out.jsonl")
    }
    assert told == {
        (3, "amount", "invalid_field"),
        (5, "country", "invalid_field"),
        (7, "card_id", "missing_field"),
        (9, "transaction_id", "repeated"),
    }
    kept = [row["transaction_id"] for at, row in enumerate(rows) if at not in {2, 4, 6, 8}]
    assert [row.transaction_id for row in decided(tmp_path / "out.jsonl")] == kept


def test_where_nothing_is_refused_no_file_says_so(tmp_path: Path, decide: Decide) -> None:
    (tmp_path / "rejected.jsonl").write_text("of an earlier run\n")
    run(EventFile(written(tmp_path / "in.csv", payments(3, days=1))), decide, tmp_path / "out.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv"}


def test_a_file_out_of_order_is_refused_and_leaves_nothing_unless_it_is_sorted_first(
    tmp_path: Path, decide: Decide
) -> None:
    rows = payments(620, days=1)
    path = written(tmp_path / "in.csv", [*rows[:600], rows[619], *rows[600:619]])
    with pytest.raises(FileError, match=r"row 602 .* is older than row 601"):
        run(EventFile(path), decide, tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == [path]
    run(EventFile(path, sort=True), decide, tmp_path / "out.jsonl")
    assert [row.transaction_id for row in decided(tmp_path / "out.jsonl")] == [row["transaction_id"] for row in rows]


def test_what_is_remembered_follows_the_windows_and_not_the_file(tmp_path: Path) -> None:
    engine = FeatureEngine(FeatureSet("day", (Window(Entity.CARD, Aggregation.COUNT, DAY),)))
    lifetimes = 10
    rows = payments(1_500, days=lifetimes * engine.state_lifetime / timedelta(days=1), cards=1_000_000)
    file = EventFile(written(tmp_path / "in.parquet", rows))
    history: PrivateHistory | None = None
    most = 0
    for batch in batches(steps(file, open_source(file.file)), trace_id=TRACE_ID, records_max=500, span_max=LATENESS):
        history = history or PrivateHistory(engine, batch.arrived[0].event.occurred_at)
        history.rows(batch.arrived)
        most = max(most, len(history._store._values))
    assert len({row["card_id"] for row in rows}) > 1_490
    assert most < 1.5 * len(rows) / lifetimes


def test_payments_that_came_before_count_when_a_history_is_given(tmp_path: Path, decide: Decide) -> None:
    rows = payments(400, days=20)
    whole = EventFile(written(tmp_path / "whole.jsonl", rows))
    run(whole, decide, tmp_path / "all.jsonl")
    rest = EventFile(written(tmp_path / "rest.jsonl", rows[300:]))
    earlier = batches(
        steps(EventFile(written(tmp_path / "earlier.jsonl", rows[:300])), open_source(tmp_path / "earlier.jsonl")),
        trace_id=TRACE_ID,
        records_max=50,
        span_max=LATENESS,
    )
    FileScoring(ENGINE, decide).run(
        rest,
        out=tmp_path / "out.jsonl",
        rejected=tmp_path / "rejected.jsonl",
        history=lambda _: (batch.arrived for batch in earlier),
    )
    assert decided(tmp_path / "out.jsonl") == decided(tmp_path / "all.jsonl")[300:]
    run(rest, decide, tmp_path / "alone.jsonl")
    assert decided(tmp_path / "alone.jsonl") != decided(tmp_path / "all.jsonl")[300:]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(cells=st.dictionaries(st.sampled_from([*payments(1, days=1)[0], "event_id", "attributes", "new"]), ODD))
@example(cells={"occurred_at": "0001-01-01T00:00:00+23:59"})
@example(cells={"amount": "1e999999999"})
def test_whatever_a_row_holds_it_is_a_payment_or_refused(
    tmp_path_factory: pytest.TempPathFactory, cells: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.jsonl"
    path.write_text(json.dumps(json.loads(msgspec.json.encode(payments(1, days=1)[0])) | cells))
    found = batches(steps(EventFile(path), open_source(path)), trace_id=TRACE_ID, records_max=9, span_max=LATENESS)
    (batch,) = found
    assert len(batch.arrived) + len(batch.refusals) == 1
    assert all(refusal.error.message for refusal in batch.refusals)


def test_the_entries_of_lists_are_those_that_stand_on_the_log() -> None:
    bus = MemoryBus(partitions=2)
    bus.create_topics(TOPICS)
    gone = replace(BLOCKED, value="c1", event_id=payment("gone").event_id)
    for event in (BLOCKED, gone, replace(gone, action="removed"), replace(gone, value="c2", expires_at=START)):
        bus.publisher().send(Outgoing(LISTS.name, event.value.encode(), codec.encode(event))).result()
    entries = entries_on(bus, START)
    assert entries == [BLOCKED]
    allowed = replace(BLOCKED, list_name="allow", entity="merchant", value="m1")
    listed = Listed([*entries, allowed, replace(allowed, entity="card", value="c3")])
    assert listed.matched(payment("a", card_id="c3", merchant_id="m1")) == [
        "allow:card",
        "block:card",
        "allow:merchant",
    ]
    assert listed.matched(payment("b", card_id="c1", device_id="c3")) == []
