"""Which items that no model knows are tried next."""

from datetime import timedelta

import pytest

from services.scoring.recommendations.new_items import REMEMBERED, TRIED_ENOUGH, NewItems
from services.scoring.recommendations.trials import Trials
from shared.runtime.clock import ManualClock
from tests.events import START
from tests.unit.scoring.recommendations.catalogue_scene import catalogue_of, item


class Scene:
    def __init__(self) -> None:
        self.catalogue = catalogue_of()
        self.tried: dict[str, Trials] = {}
        self.known: set[str] = set()
        self.clock = ManualClock(START)
        self.new_items = NewItems(self.catalogue, lambda item_id: self.tried.get(item_id, Trials()), self.clock)

    def offer(self, *item_ids: str) -> None:
        for item_id in item_ids:
            self.catalogue.apply(item(item_id))

    def next(self, *, but: str = "") -> list[str]:
        self.clock.advance(timedelta(seconds=1))
        found = self.new_items.candidates(self.known.__contains__, lambda item_id: item_id != but)
        return [candidate.item_id for candidate in found]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_latest_items_that_the_model_does_not_know_are_tried(scene: Scene) -> None:
    scene.offer("a", "b", "c", "d", "e", "f", "g")
    scene.known = {"g"}
    assert scene.next() == ["f", "e", "d", "c", "b"]
    assert scene.next(but="e") == ["f", "d", "c", "b", "a"]


def test_an_item_of_a_new_model_is_no_longer_new_at_once(scene: Scene) -> None:
    scene.offer("a", "b")
    assert scene.next() == ["b", "a"]
    scene.known = {"b"}
    found = scene.new_items.candidates(scene.known.__contains__, lambda _: True)
    assert [candidate.item_id for candidate in found] == ["a"]


def test_what_was_tried_less_comes_first_and_then_what_was_clicked_more(scene: Scene) -> None:
    scene.offer("loved", "ignored", "tried-a-little", "untried")
    scene.tried = {
        "loved": Trials(10 * TRIED_ENOUGH, 60),
        "ignored": Trials(10 * TRIED_ENOUGH, 0),
        "tried-a-little": Trials(3, 0),
    }
    assert scene.next() == ["untried", "tried-a-little", "loved", "ignored"]


def test_only_so_many_items_are_remembered(scene: Scene) -> None:
    scene.offer(*(f"i{n}" for n in range(REMEMBERED + 1)))
    scene.known = {f"i{n}" for n in range(2, REMEMBERED + 1)}
    assert scene.next() == ["i1"]
