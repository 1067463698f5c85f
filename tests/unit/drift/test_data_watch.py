"""What an operator relies on: quiet while nothing changes, and plain words about what did."""

import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from services.drift.data.segments import Segments
from services.drift.data.watch import DataWatch
from tests.unit.drift.data_scene import (
    AMOUNT,
    COUNTRY,
    DAY_US,
    DE,
    FIRST_DAY,
    FR,
    SPENT,
    TRAINED_DAYS,
    Stream,
    champion,
    feed,
    stream,
    watch,
)

CHANGED_DAY = TRAINED_DAYS + 10


@pytest.fixture(scope="module")
def world() -> Stream:
    return stream(1, TRAINED_DAYS + 60)


def watching(world: Stream, *, psi_min: float = 0.1) -> DataWatch:
    return watch(champion(world.of_days(0, TRAINED_DAYS)), psi_min=psi_min)


def begin_of(day: int) -> datetime:
    return datetime.fromtimestamp((FIRST_DAY + day) * 86_400, UTC)


@pytest.mark.parametrize("seed", range(4))
def test_two_months_of_usual_days_with_weekends_raise_no_alarm(seed: int) -> None:
    drawn = stream(seed, TRAINED_DAYS + 60)
    watched = watching(drawn, psi_min=0.0)
    live = drawn.of_days(TRAINED_DAYS, TRAINED_DAYS + 60)
    found = 0
    for day in range(60):
        feed(watched, live.of_days(TRAINED_DAYS + day, TRAINED_DAYS + day + 1))
        found += len(watched.findings())
    assert found == 0
    assert {signal.state for signal in watched.signals() if signal.name != "score"} == {"quiet"}


def test_a_change_of_one_feature_is_found_within_days_and_told(world: Stream) -> None:
    live = world.of_days(TRAINED_DAYS, CHANGED_DAY + 3)
    live.rows[live.after(CHANGED_DAY), AMOUNT] *= 2.2
    watched = watching(world)
    feed(watched, live)
    (finding,) = watched.findings()
    assert (finding.kind, finding.signal, finding.segment) == ("data", "amount", None)
    assert finding.statistic >= finding.threshold
    assert finding.since is not None
    assert abs(finding.since - begin_of(CHANGED_DAY)) <= timedelta(days=1)
    assert begin_of(CHANGED_DAY) <= finding.at < begin_of(CHANGED_DAY + 3)
    assert "amount (population stability index 0." in finding.explanation
    alarmed = [signal for signal in watched.signals() if signal.state == "alarmed"]
    assert alarmed[0].name == "amount"
    assert sum(signal.evidence_days for signal in watched.signals()) == pytest.approx(finding.statistic)


def test_a_change_in_one_segment_is_told_as_that_segments(world: Stream) -> None:
    live = world.of_days(TRAINED_DAYS, CHANGED_DAY + 9)
    inside = live.after(CHANGED_DAY) & (live.rows[:, COUNTRY] == FR)
    live.rows[inside, SPENT] *= 2.0
    watched = watching(world)
    feed(watched, live)
    (finding,) = watched.findings()
    assert (finding.signal, finding.segment) == ("spent_1d", "country=FR")
    assert "spent_1d where country=FR" in finding.explanation


def test_weekdays_that_become_like_weekends_are_found_when_the_weekends_go_beyond(world: Stream) -> None:
    live = world.of_days(TRAINED_DAYS, CHANGED_DAY + 14)
    live.rows[live.after(CHANGED_DAY), AMOUNT] *= np.exp(0.4)
    watched = watching(world)
    feed(watched, live)
    assert [finding.signal for finding in watched.findings()] == ["amount"]


def test_what_has_moved_by_little_is_no_alarm_however_sure_it_is(world: Stream) -> None:
    live = world.of_days(TRAINED_DAYS, CHANGED_DAY + 10)
    live.rows[live.after(CHANGED_DAY), AMOUNT] *= 2.2
    watched = watching(world, psi_min=5.0)
    feed(watched, live)
    assert watched.findings() == []
    assert sum(signal.evidence_days for signal in watched.signals()) == 0


def test_more_payments_are_no_change(world: Stream) -> None:
    busier = stream(1, TRAINED_DAYS + 20, payments_a_day=1_500).of_days(TRAINED_DAYS, TRAINED_DAYS + 20)
    watched = watching(world, psi_min=0.0)
    feed(watched, busier)
    assert watched.findings() == []


def test_the_score_is_held_against_the_models_own_first_days(world: Stream) -> None:
    live = world.of_days(TRAINED_DAYS, TRAINED_DAYS + 30)
    model = champion(world.of_days(0, TRAINED_DAYS))
    live.scores *= 1.5  # other than training's scores from the first day on: no change
    live.scores[live.after(TRAINED_DAYS + 20)] *= 1.5
    places = Segments(model).of(live.rows)
    for day, states, found in ((10, {"learning"}, []), (19, {"quiet"}, []), (25, {"alarmed"}, ["score"])):
        seen = ~live.after(TRAINED_DAYS + day)
        watched = watch(model)
        watched.observe(live.rows[seen], live.times_us[seen])
        watched.observe_scores(live.scores[seen], places[seen], live.times_us[seen])
        assert {signal.state for signal in watched.signals() if signal.name == "score"} == states
        assert [finding.signal for finding in watched.findings()] == found


def test_a_model_without_a_profile_learns_from_its_first_days(world: Stream) -> None:
    watched = watch(champion(world.of_days(0, TRAINED_DAYS), profiled=False))
    live = world.of_days(TRAINED_DAYS, TRAINED_DAYS + 25)
    feed(watched, live.of_days(TRAINED_DAYS, TRAINED_DAYS + 5))
    assert {signal.state for signal in watched.signals()} == {"learning"}
    assert "3 of 14 days" in watched.signals()[0].note
    live.rows[live.after(TRAINED_DAYS + 20), AMOUNT] *= 2.0
    feed(watched, live.of_days(TRAINED_DAYS + 5, TRAINED_DAYS + 25))
    assert [finding.signal for finding in watched.findings()] == ["amount"]


def test_days_with_few_payments_are_judged_together() -> None:
    quiet = stream(3, 90, payments_a_day=90)
    watched = watch(champion(quiet.of_days(0, TRAINED_DAYS)))
    live = quiet.of_days(TRAINED_DAYS, 90)
    live.rows[live.after(TRAINED_DAYS + 12), AMOUNT] *= 3.0
    feed(watched, live)
    assert [finding.signal for finding in watched.findings()] == ["amount"]
    assert watched.out_of_calendar == 0


def test_the_order_of_payments_within_hours_changes_nothing(world: Stream) -> None:
    live = world.of_days(TRAINED_DAYS, TRAINED_DAYS + 6)
    order = np.argsort(live.times_us + np.random.default_rng(0).integers(0, DAY_US // 200, len(live.times_us)))
    shuffled = Stream(live.rows[order], live.times_us[order], live.scores[order])
    in_order, disordered = watching(world), watching(world)
    feed(in_order, live)
    feed(disordered, shuffled, batch=77)
    assert in_order.signals() == disordered.signals()


def test_payments_dated_wrongly_do_not_stop_the_watch(world: Stream) -> None:
    live = world.of_days(TRAINED_DAYS, CHANGED_DAY + 3)
    live.rows[live.after(CHANGED_DAY), AMOUNT] *= 2.2
    wrong = np.random.default_rng(0).choice(len(live.times_us), 60, replace=False)
    live.times_us[wrong[:40]] += 9_000 * DAY_US
    live.times_us[wrong[40:]] -= 900 * DAY_US
    watched = watching(world)
    feed(watched, live)
    (finding,) = watched.findings()
    assert finding.signal == "amount"
    assert finding.since is not None
    assert abs(finding.since - begin_of(CHANGED_DAY)) <= timedelta(days=1)


def test_a_watch_goes_on_where_it_was_after_a_restart(world: Stream) -> None:
    live = world.of_days(TRAINED_DAYS, CHANGED_DAY + 3)
    live.rows[live.after(CHANGED_DAY), AMOUNT] *= 2.2
    watched = watching(world)
    feed(watched, live.of_days(TRAINED_DAYS, CHANGED_DAY))
    restarted: DataWatch = pickle.loads(pickle.dumps(watched))  # noqa: S301 # its own bytes
    for each in (watched, restarted):
        feed(each, live.of_days(CHANGED_DAY, CHANGED_DAY + 3))
    assert watched.findings() == restarted.findings() != []


def test_distributions_stand_beside_those_of_days_alike(world: Stream) -> None:
    live = world.of_days(TRAINED_DAYS, TRAINED_DAYS + 8)
    live.rows[::4, COUNTRY] = 5  # no country of training
    live.rows[::5, SPENT] = np.nan
    live.rows[::10, AMOUNT] = 1e7
    watched = watching(world)
    feed(watched, live)
    shown = {distribution.name: distribution for distribution in watched.distributions()}
    assert set(shown) == {"amount", "spent_1d", "country", "weekend", "constant"}, "no day of scores is over yet"
    assert shown["country"].unseen == pytest.approx(0.25, abs=0.01)
    assert shown["spent_1d"].missing == pytest.approx(0.2, abs=0.01)
    assert shown["amount"].outside == pytest.approx(0.1, abs=0.01)
    assert shown["country"].wasserstein is None
    assert (shown["constant"].psi, shown["constant"].chi_squared_p, shown["constant"].bins) == (0, 1, ["all"])
    assert set(shown["country"].bins) == {"DE", "FR", "others"}
    for distribution in shown.values():
        assert len(distribution.bins) == len(distribution.was) == len(distribution.now)
        assert sum(distribution.was) == pytest.approx(1)
        assert sum(distribution.now) == pytest.approx(1)
        assert distribution.samples > 3_000
    assert shown["country"].now[shown["country"].bins.index("others")] == pytest.approx(0.25, abs=0.01)
    assert shown["country"].was[shown["country"].bins.index("others")] == 0
    assert DE != FR
