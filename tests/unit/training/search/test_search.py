"""The search: finds the best, within its time, in spite of candidates that fail, and measures nothing twice."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from services.training.estimators.families import FAMILIES, Spec, fit
from services.training.refusal import RefusedError
from services.training.search.candidates import candidates
from services.training.search.clusters import Lost
from services.training.search.runner import Runner
from services.training.search.search import Found, Progress, SearchPlan, search
from services.training.search.steps import Steps
from services.training.search.trials import Call, Problem, learnt_from
from shared.runtime.clock import ManualClock, SystemClock
from tests.events import START
from tests.unit.training.search.search_scene import training_set, two_folds, unseen

S = TypeVar("S")
C = TypeVar("C")
R = TypeVar("R")

DATA = training_set()
FOLDS = two_folds(DATA)
STUMP = Spec("decision_tree", {"max_depth": 1, "min_samples_leaf": 400})
"""Ranks nothing: its leaf holds nearly everything."""
IMPOSSIBLE = Spec("decision_tree", {"max_depth": -1})
PLAN = SearchPlan(("decision_tree", "logistic_l2"), seconds=600, candidates_max=4, jobs=1)


class DeadlyFor:
    """Workers in this process, of which those that are given one specification die."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def results(self, function: Callable[[S, C], R], shared: S, calls: Iterator[C]) -> Iterator[tuple[C, R | Lost]]:
        for call in calls:
            deadly = isinstance(call, Call) and call.spec == self._spec
            yield call, Lost("out of memory") if deadly else function(shared, call)


def found(home: Path, plan: SearchPlan = PLAN, **changes: Any) -> Found:
    return search(DATA, FOLDS, replace(plan, **changes), steps=Steps(home), clock=SystemClock(), show=unseen)


def measured(result: Found) -> list[tuple[Spec, int, tuple[float, ...]]]:
    return [(trial.spec, trial.rung, trial.average_precisions) for trial in result.trials]


def test_the_best_of_the_last_rung_wins_and_is_what_training_it_scores(tmp_path: Path) -> None:
    result = found(tmp_path)
    last = [trial for trial in result.trials if trial.share == 1]
    assert result.best == max(last, key=lambda trial: trial.score).spec
    assert {trial.rung for trial in result.trials} == {0, 1}
    assert len(last) < len([trial for trial in result.trials if trial.rung == 0]) == 4


def test_a_trial_scores_what_training_on_the_fold_scores(tmp_path: Path) -> None:
    result = found(tmp_path, families=("logistic_l2",), candidates_max=1)
    expected = [
        average_precision_score(
            DATA.frauds[fold.test],
            fit(Spec("logistic_l2"), DATA.part(fold.train)).predict_proba(DATA.rows[fold.test])[:, 1],
        )
        for fold in FOLDS
    ]
    assert result.trials[0].average_precisions == pytest.approx(expected)
    assert min(expected) > 0.5, "amounts tell frauds"


def test_rungs_train_on_the_newest_payments_three_times_as_many_each(tmp_path: Path) -> None:
    assert {trial.rung: trial.share for trial in found(tmp_path).trials} == {0: pytest.approx(1 / 3), 1: 1.0}
    learnt = learnt_from(DATA, FOLDS[0], 1 / 3)
    assert len(learnt.frauds) == FOLDS[0].train.sum() // 3
    assert learnt.times[-1] == DATA.times[FOLDS[0].train][-1]
    assert len(learnt.unlabelled) == 10, "the payments of the gap, whose labels are not there yet"


def test_the_champion_is_measured_on_everything_however_bad_it_looked(tmp_path: Path) -> None:
    result = found(tmp_path, start=(STUMP,))
    assert result.trials[0].spec == STUMP
    assert any(trial.spec == STUMP and trial.share == 1 for trial in result.trials)
    assert result.best != STUMP


def test_the_same_payments_plan_and_seed_give_the_same_trials_on_any_number_of_processes(tmp_path: Path) -> None:
    one = found(tmp_path / "one")
    two = found(tmp_path / "two", jobs=2)
    assert not any(trial.reused for trial in two.trials)
    assert measured(one) == measured(two)
    assert measured(found(tmp_path / "other", seed=1)) != measured(one)


def test_dask_finds_what_this_process_finds(tmp_path: Path) -> None:
    plan = replace(PLAN, candidates_max=2)
    assert measured(found(tmp_path / "dask", plan, backend="dask")) == measured(found(tmp_path / "local", plan))


def test_without_time_the_first_candidate_is_measured_and_wins(tmp_path: Path) -> None:
    result = found(tmp_path, seconds=0, start=(STUMP,))
    assert [(trial.spec, trial.share) for trial in result.trials] == [(STUMP, 1.0)]
    assert result.best == STUMP
    assert found(tmp_path, seconds=0).best == Spec("decision_tree")


def test_no_trial_begins_when_its_rung_has_had_its_part_of_the_time(tmp_path: Path) -> None:
    clock = ManualClock(START)
    left = []

    def a_minute_later(progress: Progress) -> None:
        left.append(progress.seconds_left)
        clock.advance(timedelta(minutes=1))

    plan = replace(PLAN, seconds=240, candidates_max=8)
    result = search(DATA, FOLDS, plan, steps=Steps(tmp_path), clock=clock, show=a_minute_later)
    assert [trial.rung for trial in result.trials] == [0, 0, 1, 1]
    assert left == [240, 180, 120, 60]


def test_a_candidate_that_fails_is_told_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    result = found(tmp_path, start=(IMPOSSIBLE,), candidates_max=3)
    failed, *others = [trial for trial in result.trials if trial.rung == 0]
    assert failed.spec == IMPOSSIBLE
    assert "fold 1: " in failed.failure
    assert "max_depth" in failed.failure
    assert [trial.failure for trial in others] == ["", ""]
    assert result.best.family in PLAN.families
    assert all(trial.spec != IMPOSSIBLE for trial in result.trials if trial.rung)


def test_failures_go_on_to_the_next_candidate_even_without_time(tmp_path: Path) -> None:
    assert found(tmp_path, seconds=0, start=(IMPOSSIBLE,)).best == Spec("decision_tree")


def test_a_search_in_which_all_fail_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"all 1 candidates failed; decision_tree.*max_depth") as caught:
        found(tmp_path, start=(IMPOSSIBLE,), candidates_max=1)
    assert caught.value.code == "search_failed"


def test_a_candidate_whose_worker_dies_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    runner = Runner(Problem(DATA, tuple(FOLDS), 0, SystemClock()), Steps(tmp_path), DeadlyFor(STUMP))
    dead, alive = sorted(
        runner.trials([STUMP, Spec("logistic_l2")], 0, 1.0, until=math.inf), key=lambda trial: trial.spec.family
    )
    assert dead.failure == "fold 1: its worker did not answer: out of memory"
    assert math.isnan(dead.score)
    assert alive.score > 0.5


def test_what_an_earlier_search_measured_is_reused_and_takes_no_time(tmp_path: Path) -> None:
    first = found(tmp_path)
    again = found(tmp_path, seconds=0)
    assert all(trial.reused for trial in again.trials)
    assert measured(again) == measured(first)


def test_a_search_with_one_change_measures_only_what_the_change_concerns(tmp_path: Path) -> None:
    found(tmp_path)
    wider = found(tmp_path, start=(STUMP,), candidates_max=5)
    assert [trial.spec for trial in wider.trials if not trial.reused] == [STUMP, STUMP]
    assert len(wider.trials) > 4
    assert not any(trial.reused for trial in found(tmp_path, seed=1).trials)


def test_other_payments_are_measured_again(tmp_path: Path) -> None:
    found(tmp_path, candidates_max=1)
    other = replace(DATA, frauds=np.roll(DATA.frauds, 1))
    plan = replace(PLAN, candidates_max=1)
    result = search(other, FOLDS, plan, steps=Steps(tmp_path), clock=SystemClock(), show=unseen)
    assert not any(trial.reused for trial in result.trials)


def test_progress_tells_how_far_and_who_leads(tmp_path: Path) -> None:
    shown: list[Progress] = []
    result = search(DATA, FOLDS, PLAN, steps=Steps(tmp_path), clock=SystemClock(), show=shown.append)
    assert [progress.done for progress in shown] == [*range(1, len(result.trials) + 1)]
    assert all(progress.done <= progress.total for progress in shown)
    assert shown[-1].done == shown[-1].total
    assert shown[-1].best is not None
    assert shown[-1].best.spec == result.best


def test_candidates_are_different_defaults_first_and_families_take_turns() -> None:
    start = (Spec("logistic_l2"),)
    specs = candidates(("decision_tree", "logistic_l2"), count=12, seed=0, start=start)
    assert len(set(specs)) == 12
    assert specs[:2] == [Spec("logistic_l2"), Spec("decision_tree")]
    assert {spec.family for spec in specs[2:4]} == {"decision_tree", "logistic_l2"}
    assert specs[:8] == candidates(("decision_tree", "logistic_l2"), count=8, seed=0, start=start)


def test_a_small_space_ends_the_candidates() -> None:
    values = len(FAMILIES["segment_distance"].space["segments"])
    assert len(candidates(("segment_distance",), count=50, seed=0)) == values


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(RefusedError, match="no family nonsense; choose from logistic_l1") as caught:
        candidates(("nonsense",), count=1, seed=0)
    assert caught.value.code == "unknown_family"
