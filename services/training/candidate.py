"""A candidate: one kind of model, measured on the latest payments, then trained on all of them.

The latest payments are cut into periods. Each is scored by a stand-in, a model of the same making that was trained on
every payment before that period; what the stand-ins say of all periods is what the model is measured, calibrated and
compared on. So no score comes from a model that has seen its payment, or a later one. The model that goes live is
trained on everything, and has seen more of the newest kind of fraud than any of its stand-ins: they understate it.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from services.training.data.dataset import TrainingSet
from services.training.data.folds import Fold, prequential_folds, with_both_classes
from services.training.estimators.calibrated import PROBABILITY_MAX, PROBABILITY_MIN, Calibration, calibration_of
from services.training.recipe import Model, Recipe, drawn
from services.training.refusal import RefusedError
from services.training.search.steps import Step, Steps
from services.training.settings import TrainingSettings

_CODE = ("services.training.estimators", "services.training.recipe")
_STAND_IN, _MODEL = Step("stand-in", _CODE), Step("model", _CODE)


@dataclass(frozen=True)
class Candidate:
    """What a training run made.

    model: of raw rows, trained on every payment, calibrated. held_out: the latest payments, in order of time.
    scores: shape (held-out payments,), of the stand-ins, calibrated alike. periods: shape (held-out payments,), which
    period each is in. reused: what was not computed again.
    """

    recipe: Recipe
    model: Model
    held_out: TrainingSet
    scores: npt.NDArray[np.float32]
    periods: npt.NDArray[np.int64]
    reused: tuple[str, ...]


def make_candidate(recipe: Recipe, data: TrainingSet, settings: TrainingSettings, steps: Steps) -> Candidate:
    """Train the stand-ins, calibrate on what they say, and train on everything.

    Raises:
        RefusedError: the earlier or the latest payments are all genuine or all fraud.
    """
    latest = held_out_periods(data, settings)
    reused: list[str] = []
    scores = np.zeros(len(data.frauds))
    periods = np.full(len(data.frauds), -1)
    for at, fold in enumerate(latest):
        train, rows = data.part(fold.train), data.rows[fold.test]
        inputs = f"{recipe.told} {train.digest} {data.part(fold.test).digest}"
        made = steps.run(_STAND_IN, inputs, partial(stand_in_scores, recipe, train, rows))
        scores[fold.test], periods[fold.test] = made.value, at
        reused += [f"stand-in {at + 1}"] * made.reused
    held = periods >= 0
    held_out = data.part(held)
    line = calibration_of(scores[held], held_out.frauds)
    whole = steps.run(_MODEL, f"{recipe.told} {data.digest}", partial(recipe.train, data))
    reused += ["model"] * whole.reused
    model = drawn(whole.value, line)
    return Candidate(recipe, model, held_out, recalibrated(scores[held], line), periods[held], tuple(reused))


def held_out_periods(data: TrainingSet, settings: TrainingSettings) -> list[Fold]:
    """Return the periods that the latest payments are cut into, and what comes before each.

    Raises:
        RefusedError: the payments before the first period, or those in all of them, hold only one class.
    """
    first = int(len(data.times) * (1 - settings.headrace_training_holdout_fraction))
    places = np.linspace(first, len(data.times), settings.headrace_training_slices, endpoint=False).astype(np.intp)
    # As many payments in each; those of one instant stay together.
    begins = np.unique(data.times[places])
    ends = [*begins[1:], np.iinfo(np.int64).max]
    folds = [
        Fold(data.times < begin, (data.times >= begin) & (data.times < end))
        for begin, end in zip(begins, ends, strict=True)
    ]
    tested = np.logical_or.reduce([fold.test for fold in folds])
    for name, taken in (("earlier", folds[0].train), ("held-out", tested)):
        frauds = int(data.frauds[taken].sum())
        if frauds in (0, int(taken.sum())):
            raise RefusedError(
                "one_class",
                f"the {int(taken.sum())} {name} payments hold {frauds} frauds, both classes are needed; "
                "wait for more labels, or change HEADRACE_TRAINING_HOLDOUT_FRACTION",
            )
    return folds


def search_folds(data: TrainingSet, settings: TrainingSettings) -> list[Fold]:
    """Return the periods that candidates are chosen on: before the held-out ones, a label delay after their training.

    Fewer than the settings ask for, or none, where the history is too short for them or holds too few frauds.
    """
    until = held_out_periods(data, settings)[0].train
    times = data.times[until]
    gap_us = int(settings.headrace_training_label_delay_days * 86_400e6)
    count = settings.headrace_training_folds
    length_us = (int(times[-1] - times[0]) - gap_us) // (count + 2)
    if length_us <= 0:
        return []
    try:
        folds = prequential_folds(times, count=count, test_us=length_us, gap_us=gap_us)
    except RefusedError:
        return []
    return with_both_classes(folds, data.frauds[until])


def stand_in_scores(recipe: Recipe, train: TrainingSet, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return what a model of `train` says of later rows, not calibrated: shape (len(rows),)."""
    scores: npt.NDArray[np.float64] = recipe.train(train).predict_proba(rows)[:, 1]
    return scores


def recalibrated(scores: npt.NDArray[np.float64], line: Calibration) -> npt.NDArray[np.float32]:
    """Return `scores` as a Calibrated with that line gives them."""
    log_odds = logit(np.clip(scores, PROBABILITY_MIN, PROBABILITY_MAX))
    return np.asarray(expit(line.slope * log_odds + line.intercept), dtype=np.float32)
