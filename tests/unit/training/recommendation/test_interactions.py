"""What recommenders are trained on: every interaction once, weighed by kind and trust, and the rest told, not lost."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from services.training.recommendation.interactions import Interactions, require_usable
from services.training.refusal import RefusedError
from tests.events import START
from tests.unit.training.recommendation.shopping_scene import (
    DAY,
    NOW,
    archived,
    item,
    known,
    read,
    settings,
    touch,
    user,
    visits,
)


def of(data: Interactions, user_id: str) -> list[tuple[str, float]]:
    """Return a shopper's items and what they count, oldest first."""
    at = data.user_ids.index(user_id)
    part = slice(data.histories.offsets[at], data.histories.offsets[at + 1])
    items = [data.item_ids[place] for place in data.histories.items[part]]
    return list(zip(items, data.histories.weights[part].tolist(), strict=True))


def test_histories_are_by_shopper_in_order_of_time_and_weighed_by_kind(tmp_path: Path) -> None:
    late = touch("ada", "shoe", at=START + DAY, kind="purchase")
    archived(tmp_path, [late, touch("bob", "hat"), touch("ada", "hat", kind="cart")])
    data = read(tmp_path)
    assert of(data, "ada") == [("hat", 2.0), ("shoe", 4.0)]
    assert of(data, "bob") == [("hat", 1.0)]
    assert data.as_of == START + DAY


def test_an_event_counts_once_however_often_it_was_sent(tmp_path: Path) -> None:
    event = touch("ada", "shoe")
    archived(tmp_path, [event, event])
    archived(tmp_path, [event], first_offset=1)
    data = read(tmp_path)
    assert of(data, "ada") == [("shoe", 1.0)]
    assert data.left_out.repeated == 1, "the record that was archived twice is one record"


def test_what_does_not_count_is_told(tmp_path: Path) -> None:
    archived(
        tmp_path,
        [
            touch("ada", "shoe"),
            touch("ada", "hat", kind="dislike"),
            touch("ada", "coat", at=NOW + DAY),
        ],
    )
    data = read(tmp_path)
    assert of(data, "ada") == [("shoe", 1.0)]
    assert (data.left_out.weightless, data.left_out.ahead) == (1, 1)


def test_a_bot_counts_as_much_as_a_busy_shopper(tmp_path: Path) -> None:
    minute = timedelta(minutes=1)
    archived(tmp_path, [touch("bot", f"item-{at:03}", at=START + at * minute) for at in range(200)])
    data = read(tmp_path, daily_interactions_max=50)
    assert [name for name, _ in of(data, "bot")] == [f"item-{at:03}" for at in range(150, 200)]
    assert data.left_out.excess == 150


def test_a_bot_of_two_days_counts_twice(tmp_path: Path) -> None:
    archived(tmp_path, [touch("bot", "shoe", at=START + at * DAY / 10, name=str(at)) for at in range(20)])
    days = {(START + at * DAY / 10).date() for at in range(20)}
    assert len(of(read(tmp_path, daily_interactions_max=1), "bot")) == len(days)


def test_items_of_the_catalogue_that_nobody_touched_have_a_position_and_traits(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", "shoe")])
    known(tmp_path, items=[item("boot", categories=["shoes"], attributes={"brand": "acme", "price": 5.0})])
    data = read(tmp_path)
    assert data.item_ids == ("boot", "shoe")
    assert data.traits == (("category=shoes", "brand=acme"), ())


def test_the_newest_word_on_an_item_counts_and_deleted_ones_are_gone(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", "shoe")])
    first = [item("boot", categories=["shoes"]), item("coat", categories=["coats"])]
    known(tmp_path, items=[*first, item("coat", at=START + DAY, is_deleted=True), item("boot", at=START + DAY)])
    data = read(tmp_path)
    assert data.item_ids == ("boot", "shoe")
    assert data.traits == ((), ())


def test_segments_are_those_with_enough_shoppers_who_did_something(tmp_path: Path) -> None:
    names = [f"shopper-{at}" for at in range(12)]
    archived(tmp_path, [touch(name, "shoe") for name in names])
    segment = {name: "north" if at < 6 else "south" for at, name in enumerate(names) if at < 10}
    absent = [user(f"absent-{at}", attributes={"segment": "south"}) for at in range(9)]
    known(tmp_path, users=[*(user(name, attributes={"segment": told}) for name, told in segment.items()), *absent])
    data = read(tmp_path)
    assert data.segments == ("north",)
    assert [data.histories.segments[data.user_ids.index(name)] for name in names] == [1] * 6 + [0] * 6


def test_the_same_archive_has_the_same_digest_and_another_one_another(tmp_path: Path) -> None:
    archived(tmp_path, visits())
    first = read(tmp_path)
    assert read(tmp_path).digest == first.digest
    archived(tmp_path, [touch("ada", "shoe")], first_offset=5_000)
    assert read(tmp_path).digest != first.digest


def test_interactions_older_than_the_window_are_left_alone(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", "hat"), touch("ada", "shoe", at=START + 30 * DAY)])
    assert of(read(tmp_path, interaction_days=10), "ada") == [("shoe", 1.0)]


def test_an_empty_archive_and_one_with_too_little_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="POST /v1/interactions"):
        read(tmp_path)
    archived(tmp_path, visits(shoppers=2))
    with pytest.raises(RefusedError, match="HEADRACE_TRAINING_INTERACTIONS_MIN"):
        require_usable(read(tmp_path), settings(tmp_path))
    few = replace_shoppers(30)
    archived(tmp_path, few, first_offset=1_000)
    with pytest.raises(RefusedError, match="HEADRACE_TRAINING_ITEMS_MIN"):
        require_usable(read(tmp_path), settings(tmp_path, items_min=1_000))
    require_usable(read(tmp_path), settings(tmp_path))


def replace_shoppers(count: int) -> list:  # type: ignore[type-arg]
    return [replace(event, user_id=f"other-{event.user_id}") for event in visits(shoppers=count)]
