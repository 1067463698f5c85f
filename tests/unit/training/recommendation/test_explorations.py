"""Explored places, as the archive has them: which were clicked, and whose clicks are left out."""

from pathlib import Path

from services.training.recommendation.explorations import explored_places
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Exploration, Impression, ShownItem
from shared.contracts.topics import IMPRESSIONS
from tests.events import START, TRACE_ID
from tests.unit.training.recommendation.shopping_scene import DAY, archived, touch
from tests.unit.training.training_scene import archive, delivered

PLACE = Exploration(
    place=0, pool=["hat", "shoe"], scores=[2.0, 1.0], contexts=[[1.0], [0.5]], propensities=[0.75, 0.25], chosen=1
)


def shown(name: str, user_id: str, *, days: float = 0, exploration: Exploration | None = PLACE) -> Impression:
    at = START + days * DAY
    return Impression(
        event_id=derived_event_id(at, "impressions", name),
        occurred_at=at,
        trace_id=TRACE_ID,
        recommendation_id=name,
        user_id=user_id,
        items=[ShownItem(item_id="shoe", score=1.0, propensity=0.25)],
        recent=["sock", "coat"],
        model_name="recommendation",
        model_version=1,
        exploration=exploration,
    )


def test_a_click_carries_the_recommendation_and_its_item(tmp_path: Path) -> None:
    clicked, other, late = shown("a", "ada"), shown("b", "bob"), shown("c", "cleo", days=1)
    plain = shown("d", "dan", exploration=None)
    archive(tmp_path).write(delivered(IMPRESSIONS, [clicked, other, late, plain, clicked]))
    archived(
        tmp_path,
        [
            touch("ada", "shoe", recommendation_id="a"),
            touch("ada", "shoe", recommendation_id="a", kind="purchase", name="again"),
            touch("bob", "hat", recommendation_id="b"),
            touch("bob", "shoe"),
            touch("cleo", "shoe", recommendation_id="c", kind="dislike"),
        ],
    )
    places = explored_places(archive(tmp_path), since=START)
    assert sorted((place.user_id, place.clicked) for place in places) == [
        ("ada", True),
        ("bob", False),
        ("cleo", False),
    ]
    last = places[-1]
    assert (last.user_id, last.recent, last.pool, last.chosen) == ("cleo", ("sock", "coat"), ("hat", "shoe"), 1)
    assert last.contexts.tolist() == [[1.0], [0.5]]
    assert last.propensities.tolist() == [0.75, 0.25]


def test_what_the_models_have_seen_and_whom_nobody_trusts_is_left_out(tmp_path: Path) -> None:
    archive(tmp_path).write(
        delivered(IMPRESSIONS, [shown("a", "ada"), shown("b", "bob", days=1), shown("c", "eve", days=1)])
    )
    places = explored_places(archive(tmp_path), since=START + DAY / 2, without=["eve"])
    assert [place.user_id for place in places] == ["bob"]
