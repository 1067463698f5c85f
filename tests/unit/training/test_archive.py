"""The archive: every row once, typed, and a broken file named."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from msgspec.structs import replace

from services.training.columns import feature_columns
from services.training.refusal import RefusedError
from shared.contracts.events import Decision, Reason
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import (
    Exploration,
    Impression,
    Item,
    ShownItem,
    User,
)
from shared.contracts.topics import FEATURES, IMPRESSIONS, ITEMS, LABELS, SCORES, USERS
from shared.features.catalog.fraud import FRAUD
from shared.store.base import StoreUnavailableError
from tests.events import START, TRACE_ID, label, payment
from tests.unit.training.training_scene import DAY, archive, delivered, start_date, vector

COLUMNS = ["transaction_id", "occurred_at", *feature_columns(FRAUD)]


def ids(frame: pl.DataFrame) -> list[str]:
    return sorted(frame["transaction_id"])


def test_a_batch_delivered_again_and_cut_differently_gives_every_row_once(tmp_path: Path) -> None:
    rows = delivered(FEATURES, [vector(f"t{at}") for at in range(10)])
    kept = archive(tmp_path)
    kept.write(rows[:6])
    kept.write(rows[:6])
    kept.write(rows[:4])
    kept.write(rows[4:])
    assert ids(kept.vectors(FRAUD, COLUMNS, since=start_date())) == sorted(f"t{at}" for at in range(10))


def test_equal_offsets_of_two_partitions_are_two_rows(tmp_path: Path) -> None:
    kept = archive(tmp_path)
    kept.write(
        delivered(LABELS, [label(payment("a"), known_after=DAY)], partition=0)
        + delivered(LABELS, [label(payment("b"), known_after=DAY)], partition=1)
    )
    assert ids(kept.labels(since=start_date())) == ["a", "b"]


def test_a_vector_keeps_its_payment_and_one_column_a_feature(tmp_path: Path) -> None:
    values = [at + 0.1 for at in range(len(FRAUD.features))]
    made = vector("t", values=values, amount=1234, attributes={"bin": "411111", "risk": 0.5})
    archive(tmp_path).write(delivered(FEATURES, [made], partition=3, first_offset=7))
    (file,) = (tmp_path / "archive" / "features").rglob("*.parquet")
    assert (file.name, file.parent.name) == ("3-000000000007-000000000007.parquet", "date=2026-03-02")
    (row,) = pl.read_parquet(file, hive_partitioning=False).to_dicts()
    assert [row[name] for name in feature_columns(FRAUD)] == values
    assert (row["amount"], row["occurred_at"], row["device_id"]) == (1234, START, None)
    assert (row["partition"], row["offset"]) == (3, 7)
    assert row["attributes"] == '{"bin":"411111","risk":0.5}'


@pytest.mark.parametrize("changes", [{"feature_version": "0" * 64}, {"values": [1.0, 2.0]}])
def test_a_vector_of_another_version_or_width_is_kept_apart(tmp_path: Path, changes: dict[str, object]) -> None:
    made = vector("t")
    other = type(made)(**({name: getattr(made, name) for name in made.__struct_fields__} | changes))
    kept = archive(tmp_path)
    kept.write(delivered(FEATURES, [other]))
    assert kept.newest_event_time(FRAUD) is None
    (file,) = (tmp_path / "archive" / "features-unknown").rglob("*.parquet")
    assert pl.read_parquet(file, hive_partitioning=False)["values"].to_list() == [other.values]


def test_a_decision_is_kept_whole(tmp_path: Path) -> None:
    decision = Decision(
        event_id=derived_event_id(START, "scores", "t"),
        occurred_at=START,
        trace_id=TRACE_ID,
        transaction_id="t",
        card_id="card-1",
        decision="review",
        score=0.25,
        reasons=[Reason(code="score_review", text="high")],
        model_name="fraud",
        model_version=1,
        model_digest="a" * 64,
        feature_version="b" * 64,
        vector_digest="c" * 64,
        policy_digest="d" * 64,
        degraded=["features"],
    )
    archive(tmp_path).write(delivered(SCORES, [decision]))
    (file,) = (tmp_path / "archive" / "scores").rglob("*.parquet")
    (row,) = pl.read_parquet(file, hive_partitioning=False).to_dicts()
    assert row["score"] == 0.25
    assert (row["reason_codes"], row["reason_texts"], row["degraded"]) == (["score_review"], ["high"], ["features"])
    assert [row[name] for name in ("model_digest", "vector_digest")] == ["a" * 64, "c" * 64]


def test_an_impression_keeps_all_that_another_policy_is_judged_by(tmp_path: Path) -> None:
    exploration = Exploration(
        place=1,
        pool=["hat", "shoe"],
        scores=[0.75, 0.5],
        contexts=[[1.0, 0.0], [0.0, 1.0]],
        propensities=[0.9, 0.1],
        chosen=1,
    )
    shown = Impression(
        event_id=derived_event_id(START, "impressions", "first"),
        occurred_at=START,
        trace_id=TRACE_ID,
        recommendation_id="r1",
        user_id="ada",
        items=[
            ShownItem(item_id="coat", score=0.9, propensity=1.0),
            ShownItem(item_id="shoe", score=0.5, propensity=0.1),
        ],
        recent=["sock"],
        model_name="recommendation",
        model_version=2,
        experiment="colours",
        arm="blue",
        exploration=exploration,
    )
    plain = replace(shown, event_id=derived_event_id(START, "impressions", "second"), exploration=None)
    archive(tmp_path).write(delivered(IMPRESSIONS, [shown, plain]))
    columns = ["item_ids", "scores", "propensities", "recent", "experiment", "arm", "model_version", "place", "pool"]
    columns += ["pool_scores", "pool_contexts", "pool_propensities", "chosen"]
    explored, not_explored = archive(tmp_path).rows(IMPRESSIONS, columns).select(columns).rows()
    assert explored[:7] == (["coat", "shoe"], [0.9, 0.5], [1.0, 0.1], ["sock"], "colours", "blue", 2)
    assert explored[7:] == (1, ["hat", "shoe"], [0.75, 0.5], [[1.0, 0.0], [0.0, 1.0]], [0.9, 0.1], 1)
    assert not_explored[7:] == (None,) * 6


def test_items_and_users_are_kept_as_they_were_sent(tmp_path: Path) -> None:
    offered = Item(
        event_id=derived_event_id(START, "items", "hat"),
        occurred_at=START,
        trace_id=TRACE_ID,
        item_id="hat",
        categories=["hats", "sale"],
        attributes={"brand": "acme", "price": 9.5},
        expires_at=START + DAY,
    )
    someone = User(
        event_id=derived_event_id(START, "users", "ada"),
        occurred_at=START,
        trace_id=TRACE_ID,
        user_id="ada",
        attributes={"segment": "north"},
        is_deleted=True,
    )
    kept = archive(tmp_path)
    kept.write([*delivered(ITEMS, [offered]), *delivered(USERS, [someone])])
    columns = ["item_id", "categories", "attributes", "is_available", "available_from", "expires_at", "is_deleted"]
    (row,) = kept.rows(ITEMS, columns).select(columns).rows()
    assert row == ("hat", ["hats", "sale"], '{"brand":"acme","price":9.5}', True, None, START + DAY, False)
    (row,) = kept.rows(USERS, ["user_id", "attributes", "is_deleted"]).rows()
    assert row[:3] == ("ada", '{"segment":"north"}', True)


def test_rows_of_a_topic_can_be_chosen_by_date_and_by_what_they_say(tmp_path: Path) -> None:
    kept = archive(tmp_path)
    assert kept.rows(LABELS, ["transaction_id"]).is_empty()
    assert (kept.dates(LABELS), kept.row_count(LABELS)) == ([], 0)
    days = [label(payment(f"t{at}"), known_after=at * DAY) for at in range(5)]
    kept.write(delivered(LABELS, days))
    chosen = kept.rows(
        LABELS,
        ["transaction_id"],
        since=start_date() + DAY,
        until=start_date() + 3 * DAY,
        only=pl.col("transaction_id") != "t2",
    )
    assert ids(chosen) == ["t1", "t3"]
    assert kept.dates(LABELS) == [start_date() + at * DAY for at in range(5)]
    assert kept.row_count(LABELS) == 5


def test_event_time_has_come_as_far_as_the_newest_payment_or_label(tmp_path: Path) -> None:
    kept = archive(tmp_path)
    kept.write(delivered(FEATURES, [vector("a"), vector("b", after=timedelta(hours=30))]))
    assert kept.newest_event_time(FRAUD) == START + timedelta(hours=30)
    kept.write(delivered(LABELS, [label(payment("a"), known_after=3 * DAY)]))
    assert kept.newest_event_time(FRAUD) == START + 3 * DAY


def test_a_file_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    kept = archive(tmp_path)
    kept.write(delivered(FEATURES, [vector("t")]))
    (file,) = (tmp_path / "archive").rglob("*.parquet")
    (file.parent / "0-000000000001-000000000001.parquet.writing").write_bytes(b"PAR1half")
    assert ids(kept.vectors(FRAUD, COLUMNS, since=start_date())) == ["t"]
    assert [path.suffix for path in file.parent.iterdir() if path != file] == [".writing"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    kept = archive(tmp_path)
    for at in range(3):
        kept.write(delivered(FEATURES, [vector(f"t{at}")], first_offset=at))
    damaged = sorted((tmp_path / "archive").rglob("*.parquet"))[1]
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(RefusedError, match=damaged.name) as refused:
        kept.vectors(FRAUD, COLUMNS, since=start_date())
    assert refused.value.code == "unreadable_archive"


def test_a_file_without_a_feature_is_named(tmp_path: Path) -> None:
    kept = archive(tmp_path)
    for at in range(2):
        kept.write(delivered(FEATURES, [vector(f"t{at}")], first_offset=at))
    poorer = sorted((tmp_path / "archive").rglob("*.parquet"))[1]
    pl.read_parquet(poorer, hive_partitioning=False).drop("feature_card_count_1d").write_parquet(poorer)
    with pytest.raises(RefusedError, match=rf"{poorer.name}.*feature_card_count_1d") as refused:
        kept.vectors(FRAUD, COLUMNS, since=start_date())
    assert refused.value.code == "missing_column"


def test_a_disk_that_cannot_be_written_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match="archive cannot be written"):
        archive(tmp_path).write(delivered(FEATURES, [vector("t")]))
