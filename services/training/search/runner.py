"""Runs trials: takes from earlier searches what they measured, has workers measure the rest, and keeps that."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from services.training.estimators.families import Spec
from services.training.search.backends import Workers
from services.training.search.clusters import Lost
from services.training.search.steps import Steps
from services.training.search.trials import (
    FOLD_SCORE,
    Call,
    FoldScore,
    Problem,
    fold_digests,
    fold_score,
    inputs_digest,
)


class Trial(NamedTuple):
    """One candidate on one rung.

    rung: 0 for the smallest. share: of the training payments. average_precisions: one a fold; empty where `failure`
    tells why. seconds: of one core. reused: whether all of it was measured by an earlier search.
    """

    spec: Spec
    rung: int
    share: float
    average_precisions: tuple[float, ...]
    seconds: float
    reused: bool
    failure: str = ""

    @property
    def score(self) -> float:
        """The mean average precision over the folds, NaN for a failure."""
        return float(np.mean(self.average_precisions)) if self.average_precisions else math.nan


class Runner:
    """Runs the trials of one search."""

    def __init__(self, problem: Problem, steps: Steps, workers: Workers) -> None:
        self._problem = problem
        self._fold_digests = fold_digests(problem)
        self._steps = steps
        self._workers = workers

    def trials(self, specs: Sequence[Spec], rung: int, share: float, *, until: float) -> Iterator[Trial]:
        """Yield each specification's trial when it has ended; one that must be measured begins before `until` or never.

        until: on the clock's monotonic seconds.
        """
        scores: dict[Spec, dict[int, FoldScore]] = {}
        missing: list[list[Call]] = []
        for spec in specs:
            calls = [Call(spec, fold, share) for fold in range(len(self._problem.folds))]
            scores[spec] = self._kept(calls)
            if len(scores[spec]) == len(calls):
                yield _trial(spec, rung, share, scores[spec], reused=True)
            else:
                missing.append([call for call in calls if call.fold not in scores[spec]])
        if not missing:
            return
        for call, score in self._measured(self._in_time(missing, until)):
            scores[call.spec][call.fold] = score
            if len(scores[call.spec]) == len(self._problem.folds):
                yield _trial(call.spec, rung, share, scores[call.spec], reused=False)

    def _kept(self, calls: list[Call]) -> dict[int, FoldScore]:
        found = {call.fold: self._steps.find(FOLD_SCORE, self._inputs(call)) for call in calls}
        return {fold: score for fold, score in found.items() if score is not None}

    def _in_time(self, trials: Iterable[list[Call]], until: float) -> Iterator[Call]:
        for calls in trials:
            if self._problem.clock.monotonic_seconds() >= until:
                return
            yield from calls

    def _measured(self, calls: Iterator[Call]) -> Iterator[tuple[Call, FoldScore]]:
        for call, answer in self._workers.results(fold_score, self._problem, calls):
            if isinstance(answer, Lost):
                yield call, FoldScore(math.nan, 0.0, f"its worker did not answer: {answer.reason}")
                continue
            if not answer.failure:
                self._steps.keep(FOLD_SCORE, self._inputs(call), answer)
            yield call, answer

    def _inputs(self, call: Call) -> str:
        return inputs_digest(self._fold_digests[call.fold], call, self._problem.seed)


def _trial(spec: Spec, rung: int, share: float, by_fold: Mapping[int, FoldScore], *, reused: bool) -> Trial:
    scores = [by_fold[fold] for fold in sorted(by_fold)]
    failures = [f"fold {number}: {score.failure}" for number, score in enumerate(scores, start=1) if score.failure]
    return Trial(
        spec=spec,
        rung=rung,
        share=share,
        average_precisions=() if failures else tuple(score.average_precision for score in scores),
        seconds=sum(score.seconds for score in scores),
        reused=reused,
        failure=failures[0] if failures else "",
    )
