"""Recommendations for everyone: what shoppers have not touched and can have, with what it is owed to."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from services.training.recommendation.batch import recommended
from services.training.recommendation.export import export
from services.training.recommendation.recommender import Component, Neighbours, Recommender
from shared.models.manifest import RECOMMENDATION, RecommendationManifest
from shared.models.recommender import RecommenderModel
from tests.events import START
from tests.unit.training.recommendation.shopping_scene import DAY, NOW, archived, item, known, touch, user
from tests.unit.training.training_scene import archive

ITEMS = ("boot", "coat", "hat", "shoe", "sock")
"""Ascending; popular in the reverse order in the south, and in this order elsewhere."""


def model(*, popularity_weight: float = 0.1) -> RecommenderModel:
    """Return a model where each item leads to the next one, and hat to shoe twice as strongly."""
    following = np.array([[1], [2], [3], [4], [0]], dtype=np.int32)
    strengths = np.array([[1.0], [1.0], [2.0], [1.0], [1.0]], dtype=np.float32)
    popular = np.linspace(1, 0.2, len(ITEMS), dtype=np.float32)
    onnx = export(
        Recommender(
            item_ids=ITEMS,
            components=(Component("next", Neighbours(following, strengths), 1.0, decay=0.5),),
            popularity=np.stack([popular, popular[::-1]]),
            popularity_weight=popularity_weight,
            segments=("south",),
            segment_attribute="segment",
            kind_weights={"view": 1.0, "purchase": 2.0},
            half_life_seconds=None,
        )
    )
    manifest = RecommendationManifest(
        model_name=RECOMMENDATION,
        model_version=3,
        model_digest="a" * 64,
        feature_version="b" * 64,
        family="next",
        trained_at=START,
        data_digest="d" * 64,
        training_rows=1,
        metrics={},
        items=len(ITEMS),
        users=1,
        probes=[],
    )
    return RecommenderModel(manifest, onnx)


def lists(home: Path, *, n: int = 2, users: list[str] | None = None, at_once: int = 10_000) -> dict[str, list[str]]:
    parts = recommended(archive(home), model(), n=n, now=NOW, users=users, interactions_at_once=at_once)
    rows = pl.concat([part.rows for part in parts])
    ranks = rows.group_by("user_id", maintain_order=True).agg("rank")["rank"].to_list()
    assert ranks == [list(range(1, len(own) + 1)) for own in ranks]
    return {str(name): own["item_id"].to_list() for (name,), own in rows.group_by("user_id", maintain_order=True)}


def test_a_shopper_is_recommended_what_follows_and_never_what_was_touched(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", "coat"), touch("ada", "hat", at=START + DAY), touch("bob", "boot")])
    assert lists(tmp_path, n=5) == {"ada": ["shoe", "boot", "sock"], "bob": ["coat", "hat", "shoe", "sock"]}


def test_a_list_says_what_it_is_owed_to(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", "boot"), touch("ada", "hat", at=START + DAY)])
    (part,) = recommended(archive(tmp_path), model(), n=3, now=NOW)
    rows = part.rows.to_dicts()
    assert [(row["item_id"], row["reason_item_id"]) for row in rows] == [
        ("shoe", "hat"),
        ("coat", "boot"),
        ("sock", None),
    ]
    assert rows[0]["score"] == pytest.approx(2.0 + 0.1 * 0.4)
    assert rows[0]["reason_share"] == pytest.approx(2.0 / 2.04)
    assert rows[1]["reason_share"] == pytest.approx(0.5 / (0.5 + 0.1 * 0.8))
    assert {row["model_version"] for row in rows} == {3}
    assert (part.shoppers, part.fraction) == (1, 1.0)


def test_an_item_that_was_touched_twice_is_one_reason(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", "hat", at=START + at * DAY, name=str(at)) for at in range(2)])
    (part,) = recommended(archive(tmp_path), model(), n=1, now=NOW)
    (row,) = part.rows.to_dicts()
    assert row["score"] == pytest.approx(2.0 + 1.0 + 0.04)
    assert row["reason_share"] == pytest.approx(3.0 / 3.04)


def test_shoppers_without_a_history_get_what_is_popular_in_their_segment(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", "boot")])
    known(tmp_path, users=[user("cleo", attributes={"segment": "south"}), user("dan", attributes={"segment": "x"})])
    found = lists(tmp_path, users=["cleo", "dan", "unknown"])
    assert found == {"cleo": ["sock", "shoe"], "dan": ["boot", "coat"], "unknown": ["boot", "coat"]}


def test_what_cannot_be_had_and_who_is_gone_are_left_out(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", "hat"), touch("gone", "hat")])
    known(
        tmp_path,
        items=[
            item("shoe", is_deleted=True),
            item("boot", is_available=False),
            item("coat", available_from=NOW + DAY),
            item("sock", at=START, expires_at=NOW),
            item("sock", at=START + DAY, expires_at=NOW + DAY),
        ],
        users=[user("gone", is_deleted=True)],
    )
    assert lists(tmp_path, n=5) == {"ada": ["sock"]}


def test_dislikes_are_no_reason_and_are_not_shown(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", "hat", kind="dislike")])
    assert lists(tmp_path, n=5) == {"ada": ["boot", "coat", "shoe", "sock"]}


def test_in_parts_everyone_is_served_once_and_alike(tmp_path: Path) -> None:
    touches = [touch(f"shopper-{at % 50}", ITEMS[at % 4], at=START + at * DAY / 100) for at in range(200)]
    archived(tmp_path, [*touches, *touches[:50]])
    known(tmp_path, users=[user(f"quiet-{at}") for at in range(10)])
    whole = lists(tmp_path)
    assert len(whole) == 60
    assert lists(tmp_path, at_once=30) == whole
