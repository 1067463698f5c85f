"""One fold of one trial: train on a share of the fold's payments, measure on its test payments. Runs in a worker."""

import hashlib
import math
import warnings
from dataclasses import replace
from typing import NamedTuple

import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from services.training.data.dataset import UNLABELLED_ROWS_MAX, TrainingSet
from services.training.data.folds import Fold
from services.training.estimators.families import Spec, fit
from services.training.search.clusters import in_a_line
from services.training.search.steps import Step
from shared.runtime.clock import Clock

FOLD_SCORE = Step(
    "fold_score",
    (
        "services.training.data.dataset",
        "services.training.data.folds",
        "services.training.estimators",
        "services.training.search.trials",
    ),
)


class Problem(NamedTuple):
    """What all trials of a search share, sent to a worker once."""

    data: TrainingSet
    folds: tuple[Fold, ...]
    seed: int
    clock: Clock


class Call(NamedTuple):
    """What a worker is asked. fold: its number. share: of the fold's training payments, the newest, 0 to 1."""

    spec: Spec
    fold: int
    share: float


class FoldScore(NamedTuple):
    """What a worker answers. average_precision: NaN where `failure` says why there is none."""

    average_precision: float
    seconds: float
    failure: str = ""


def fold_score(problem: Problem, call: Call) -> FoldScore:
    """Train and measure, on one core: the search keeps the others busy. A failure is an answer, not an error."""
    started = problem.clock.monotonic_seconds()
    try:
        with threadpool_limits(1), joblib.parallel_config("sequential"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # how far a candidate came shows in its score
            score, failure = _average_precision(problem, call), ""
    except Exception as error:  # noqa: BLE001 - parameters that do not go together fail in many ways
        score, failure = math.nan, in_a_line(error)
    return FoldScore(score, problem.clock.monotonic_seconds() - started, failure)


def learnt_from(data: TrainingSet, fold: Fold, share: float) -> TrainingSet:
    """Return the newest `share` of the fold's training payments; unlabelled: those between them and the test payments.

    The labels of these are not there yet when the test payments come, so self-training may use them without theirs.
    """
    there = np.flatnonzero(fold.train)
    taken = np.zeros_like(fold.train)
    taken[there[-math.ceil(share * len(there)) :]] = True
    learnt, measured_from = int(there[-1]) + 1, int(np.flatnonzero(fold.test)[0])
    unlabelled = data.rows[max(learnt, measured_from - UNLABELLED_ROWS_MAX) : measured_from]
    return replace(data.part(taken), unlabelled=unlabelled)


def fold_digests(problem: Problem) -> list[str]:
    """Return for each fold a SHA-256 over its payments and over what each is for."""
    data = problem.data.digest.encode()
    return [hashlib.sha256(data + fold.train.tobytes() + fold.test.tobytes()).hexdigest() for fold in problem.folds]


def inputs_digest(fold_digest: str, call: Call, seed: int) -> str:
    """Return a SHA-256 over everything that the answer to a call depends on, beside the code."""
    return hashlib.sha256(f"{fold_digest} {call.spec.to_json()} {call.share!r} {seed}".encode()).hexdigest()


def _average_precision(problem: Problem, call: Call) -> float:
    fold = problem.folds[call.fold]
    model = fit(call.spec, learnt_from(problem.data, fold, call.share), jobs=1, seed=problem.seed)
    scores = model.predict_proba(problem.data.rows[fold.test])[:, 1]
    return float(average_precision_score(problem.data.frauds[fold.test], scores))
