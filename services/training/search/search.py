"""Random search with successive halving, under a time budget.

Every candidate is tried on a small share of the training payments, the newest; the best third of them on three times
as much; and so on up to all payments (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization", 2016). A rung costs about as much as any other, so each is given the same part of the time
that is left. The first candidate, the champion's if there is one, goes up to the last rung whatever its scores: with
time for it, the winner is no worse on the folds than what would have been trained without a search.

A trial's folds run beside each other, each on one core. What an earlier search measured is not measured again, and
takes nothing from the budget. With time for all trials the same payments, plan and seed give the same winner.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.training.data.dataset import TrainingSet
from services.training.data.folds import Fold
from services.training.estimators.families import Spec
from services.training.refusal import RefusedError
from services.training.search.backends import BackendName, workers
from services.training.search.candidates import candidates
from services.training.search.runner import Runner, Trial
from services.training.search.steps import Steps
from services.training.search.trials import Problem, learnt_from
from shared.runtime.clock import Clock

KEPT = 3
"""One in this many goes on to the next rung, which trains on this many times as much."""
FRAUDS_MIN = 20
"""Frauds that the smallest share of a fold's training payments holds at least: fewer rank candidates by chance."""


@dataclass(frozen=True)
class SearchPlan:
    """What to try. seconds: after these no trial begins; with 0 one candidate is tried. jobs: as in backends.workers.

    start: specifications tried before the families' defaults, the champion's first.
    """

    families: tuple[str, ...]
    seconds: float
    candidates_max: int
    jobs: int = -1
    backend: BackendName = "local"
    seed: int = 0
    start: tuple[Spec, ...] = ()


class Found(NamedTuple):
    """best: won the last rung; of equals the one tried earlier, a default before a random one. trials: all, by rung."""

    best: Spec
    trials: tuple[Trial, ...]


class Progress(NamedTuple):
    """done, total: trials; the total is a forecast. best: the leader, None until a trial has succeeded."""

    done: int
    total: int
    best: Trial | None
    seconds_left: float


Show = Callable[[Progress], None]


def search(
    data: TrainingSet, folds: Sequence[Fold], plan: SearchPlan, *, steps: Steps, clock: Clock, show: Show
) -> Found:
    """Return the specification with the highest mean average precision over the folds.

    Raises:
        RefusedError: search_failed, every candidate failed; and what candidates and backends.workers refuse.
    """
    specs = candidates(plan.families, count=plan.candidates_max, seed=plan.seed, start=plan.start)
    problem = Problem(data, tuple(folds), plan.seed, clock)
    ladder = shares(len(specs), data, folds)
    with workers(plan.backend, plan.jobs) as started:
        return _Search(specs, ladder, plan.seconds, Runner(problem, steps, started), clock, show).run()


def shares(candidate_count: int, data: TrainingSet, folds: Sequence[Fold]) -> list[float]:
    """Return the share of the training payments on each rung; the last is 1."""
    rungs = 1
    while KEPT**rungs <= candidate_count and _holds_frauds(data, folds, float(KEPT) ** -rungs):
        rungs += 1
    return [float(KEPT) ** -rung for rung in reversed(range(rungs))]


def _holds_frauds(data: TrainingSet, folds: Sequence[Fold], share: float) -> bool:
    return all(int(learnt_from(data, fold, share).frauds.sum()) >= FRAUDS_MIN for fold in folds)


class _Search:
    """A search under way."""

    def __init__(
        self, specs: list[Spec], ladder: list[float], seconds: float, runner: Runner, clock: Clock, show: Show
    ) -> None:
        self._place = {spec: place for place, spec in enumerate(specs)}
        self._ladder = ladder
        self._end = clock.monotonic_seconds() + seconds
        self._runner = runner
        self._clock = clock
        self._show = show
        self._trials: list[Trial] = []

    def run(self) -> Found:
        """Climb the ladder; should nothing have succeeded on the last rung in time, go on until something does."""
        going = list(self._place)
        last = len(self._ladder) - 1
        for rung in range(last + 1):
            self._climb(going, rung, until=self._end_of(rung))
            if rung < last:
                going = self._survivors(rung)
        for spec in dict.fromkeys([*going, *self._place]):
            if not self._ranked(last) and not self._has_failed(spec):
                self._climb([spec], last, until=math.inf)
        ranked = self._ranked(last)
        if not ranked:
            failed = self._trials[0]
            raise RefusedError(
                "search_failed",
                f"all {len(self._place)} candidates failed; {failed.spec} in {failed.failure}; mend what it names, "
                "or try other families",
            )
        trials = sorted(self._trials, key=lambda trial: (trial.rung, self._place[trial.spec]))
        return Found(ranked[0].spec, tuple(trials))

    def _climb(self, specs: list[Spec], rung: int, *, until: float) -> None:
        later = sum(math.ceil(len(specs) / KEPT**more) for more in range(1, len(self._ladder) - rung))
        total = len(self._trials) + len(specs) + later
        for trial in self._runner.trials(specs, rung, self._ladder[rung], until=until):
            self._trials.append(trial)
            leader = next((ranked[0] for at in range(rung, -1, -1) if (ranked := self._ranked(at))), None)
            seconds_left = max(0.0, self._end - self._clock.monotonic_seconds())
            self._show(Progress(len(self._trials), total, leader, seconds_left))

    def _end_of(self, rung: int) -> float:
        """Return until when trials of the rung may begin: its part of the time that is left."""
        now = self._clock.monotonic_seconds()
        return now + (self._end - now) / (len(self._ladder) - rung)

    def _survivors(self, rung: int) -> list[Spec]:
        ranked = [trial.spec for trial in self._ranked(rung)]
        going = ranked[: math.ceil(len(ranked) / KEPT)]
        first = next(iter(self._place))
        return going if first in going or self._has_failed(first) else [*going, first]

    def _ranked(self, rung: int) -> list[Trial]:
        """Return the rung's trials that succeeded, the best first."""
        succeeded = [trial for trial in self._trials if trial.rung == rung and not trial.failure]
        return sorted(succeeded, key=lambda trial: (-trial.score, self._place[trial.spec]))

    def _has_failed(self, spec: Spec) -> bool:
        return any(trial.spec == spec and trial.failure for trial in self._trials)
