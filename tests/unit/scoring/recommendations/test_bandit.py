"""The bandit: exact propensities, what it learns from which clicks, and the same after a restart."""

import random
import threading
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest

from services.scoring.recommendations.arranging import Candidate
from services.scoring.recommendations.bandit import DRAWS, UNIFORM_SHARE, Bandit, choose, draws_of
from services.scoring.recommendations.bandit_learning import CLICK_WITHIN, DAYS_KEPT, Evidence, Learning
from services.scoring.recommendations.contexts import FEATURES, UNIT, Moment
from services.scoring.recommendations.trust import Trust, distrust_text
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.shopping import Impression, Interaction
from shared.contracts.topics import IMPRESSIONS, INTERACTIONS, TOPICS
from shared.recommendation.history import distrust_key
from shared.runtime.clock import ManualClock
from shared.store.memory import MemoryStore
from tests.events import START
from tests.unit.scoring.recommendations.shop_events import click, impression, interaction
from tests.unit.scoring.scoring_scene import wait_until

NOBODY: dict[str, float] = {}
DAY = timedelta(days=1)


def learned(*events: Impression | Interaction, now: timedelta = timedelta()) -> Evidence:
    learning = Learning()
    learning.take(events, NOBODY, START)
    return learning.evidence(START + now, kept_a_day=0.5)


def clicks(evidence: Evidence) -> float:
    return float(evidence.clicked[0])


def trials(evidence: Evidence) -> float:
    return float(evidence.squares[0, 0])


@pytest.fixture
def contexts() -> np.ndarray:
    rows = np.random.default_rng(1).random((20, len(FEATURES)))
    rows[:, 0] = 1
    return rows


@pytest.fixture
def draws() -> np.ndarray:
    return draws_of(Evidence(np.zeros((len(FEATURES), len(FEATURES))), np.zeros(len(FEATURES))))


def test_propensities_are_those_of_the_draws_and_sum_to_one(draws: np.ndarray, contexts: np.ndarray) -> None:
    shares = Counter(int(max(range(20), key=lambda at: float(contexts[at] @ one))) for one in draws)
    expected = [0.3 * ((1 - UNIFORM_SHARE) * shares[at] / DRAWS + UNIFORM_SHARE / 20) for at in range(20)]
    expected[0] += 0.7
    _, propensities = choose(draws, contexts, 0.3, 0.5)
    assert propensities == pytest.approx(expected)
    assert propensities.sum() == pytest.approx(1)
    assert propensities.min() == pytest.approx(0.3 * UNIFORM_SHARE / 20)


def test_choices_come_as_often_as_their_propensities_say(draws: np.ndarray, contexts: np.ndarray) -> None:
    chance, calls = random.Random(5), 20_000
    chosen = np.zeros(20)
    for _ in range(calls):
        place, propensities = choose(draws, contexts, 0.6, chance.random())
        chosen[place] += 1
    deviation = np.sqrt(propensities * (1 - propensities) / calls)
    assert (np.abs(chosen / calls - propensities) < 4.5 * deviation).all()


def test_items_that_nothing_tells_apart_are_equally_likely(draws: np.ndarray, contexts: np.ndarray) -> None:
    _, propensities = choose(draws, contexts[[0, 1, 1, 1]], 1.0, 0.5)
    assert propensities[1] == pytest.approx(propensities[2]) == pytest.approx(propensities[3])
    assert propensities.sum() == pytest.approx(1)


def test_without_exploration_the_first_is_shown_and_the_largest_draw_still_chooses(
    draws: np.ndarray, contexts: np.ndarray
) -> None:
    assert choose(draws, contexts, 0.0, np.nextafter(1.0, 0.0))[0] == 0
    assert choose(draws, contexts, 1.0, np.nextafter(1.0, 0.0))[0] == 19


def test_the_draws_are_spread_as_the_posterior_is() -> None:
    squares, clicked = np.diag([400.0] * len(FEATURES)), np.full(len(FEATURES), 100.0)
    drawn = draws_of(Evidence(squares, clicked))
    assert drawn.mean(axis=0) == pytest.approx(100 / 401, abs=0.005)
    assert drawn.std(axis=0) == pytest.approx(0.25 / np.sqrt(401), rel=0.2)


def test_a_click_counts_once_whether_it_comes_after_its_impression_or_before_it() -> None:
    shown, clicked = impression("r1"), click(impression("r1"))
    for evidence in (learned(shown, clicked), learned(clicked, shown), learned(clicked, shown, clicked, shown)):
        assert (trials(evidence), clicks(evidence)) == (1, 1)


@pytest.mark.parametrize(
    "event",
    [
        click(impression("r1"), item_id="b"),
        click(impression("r2")),
        click(impression("r1"), after=CLICK_WITHIN + timedelta(seconds=1)),
        interaction("u1", "a", "dislike", recommendation_id="r1"),
        interaction("u1", "a"),
    ],
    ids=["another item", "another list", "too late", "a dislike", "found elsewhere"],
)
def test_what_is_no_click_on_the_explored_item_does_not_count(event: Interaction) -> None:
    assert clicks(learned(impression("r1"), event)) == 0
    assert clicks(learned(event, impression("r1"))) == 0


@pytest.mark.parametrize("row", [[1.0], [float("nan")] * len(FEATURES)], ids=["other features", "no numbers"])
def test_contexts_of_another_kind_teach_nothing(row: list[float]) -> None:
    assert trials(learned(impression("r1", contexts=[row, row]))) == 0


def test_a_day_later_a_trial_counts_less_and_in_the_end_it_is_forgotten() -> None:
    shown = impression("r1")
    assert [trials(learned(shown, click(shown), now=n * DAY)) for n in (0, 1, 2)] == [1, 0.5, 0.25]
    assert trials(learned(shown, now=(DAYS_KEPT + 1) * DAY)) == 0


def test_a_bot_that_clicks_lists_nobody_was_shown_is_bounded_and_does_not_crowd_out_the_others() -> None:
    learning, shown = Learning(waiting_max=100), impression("r1")
    for start in range(0, 1_000, 50):
        learning.take([interaction("bot", "x", recommendation_id=f"f{start + n}") for n in range(50)], NOBODY, START)
    learning.take([click(shown), shown], NOBODY, START)
    assert clicks(learning.evidence(START, kept_a_day=1)) == 1
    assert len(learning._waiting) == 100


def history(count: int) -> list[Impression | Interaction]:
    """Return impressions over twenty days, and clicks on some."""
    chance = np.random.default_rng(4)
    events: list[Impression | Interaction] = []
    for n in range(count):
        rows = np.rint(chance.random((3, len(FEATURES))) / UNIT) * UNIT
        at = START - timedelta(days=20 * (1 - (n + 1) / count))
        shown = impression(f"r{n}", ["a", "b", "c"], contexts=rows.tolist(), chosen=n % 3, at=at, user_id=f"u{n % 50}")
        events.append(shown)
        if chance.random() < 0.2:
            events.append(click(shown))
    return events


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.store = MemoryStore(self.clock)
        self.bus = MemoryBus(partitions=3)

    def bandit(self) -> Bandit:
        return Bandit(self.bus, Trust(self.store), self.clock, popularity=lambda _: 0.0)


def test_one_that_is_started_again_has_bit_for_bit_the_posterior_of_the_one_that_was_killed() -> None:
    scene = Scene()
    scene.clock.advance(-20 * DAY)
    first = scene.bandit()
    scene.bus.create_topics(TOPICS)
    publisher = scene.bus.publisher()
    for event in history(600):
        if event.occurred_at > scene.clock.now():
            scene.clock.advance(event.occurred_at - scene.clock.now())
        first.take([event])
        topic = IMPRESSIONS if isinstance(event, Impression) else INTERACTIONS
        at_ms = int(event.occurred_at.timestamp() * 1000)
        publisher.send(Outgoing(topic.name, event.user_id.encode(), codec.encode(event), at_ms))
    first.publish()
    again, stop = scene.bandit(), threading.Event()
    thread = threading.Thread(target=again.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: again.problem() is None, "the new one has read the topics")
    finally:
        stop.set()
        thread.join()
    assert again.trials("").shown > 50
    assert again.trials("a") == first.trials("a")
    assert again._known.draws.tobytes() == first._known.draws.tobytes()


def test_clicks_of_distrusted_shoppers_teach_less() -> None:
    scene = Scene()
    bandit = scene.bandit()
    scene.store.put(distrust_key("fake"), distrust_text(0.75), expire_after=None)
    honest, fake = impression("r1", ["a"]), impression("r2", ["b"], user_id="fake")
    bandit.take([honest, fake, click(honest), click(fake)])
    bandit.publish()
    assert bandit.trials("a") == (1, 1)
    assert bandit.trials("b") == (0.25, 0.25)


def test_an_explorer_tells_what_it_judged_by_and_how_likely_its_choice_was() -> None:
    bandit = Scene().bandit()
    pool = [Candidate("best", 2.0), Candidate("second", 1.0), Candidate("new", 0.0)]
    moment = Moment(item_of=lambda _: None, knows=lambda item_id: item_id != "new")
    chosen, propensities, contexts = bandit.explorer(moment).choose(pool, 0.5)
    assert 0 <= chosen < 3
    assert sum(propensities) == pytest.approx(1)
    named = [dict(zip(FEATURES, row, strict=True)) for row in contexts]
    assert [row["is_new"] for row in named] == [0, 0, 1]
    assert [row["score"] for row in named] == [1, 0, 0]
