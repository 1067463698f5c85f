"""Two other ways to keep a model, on the very payments and labels that the platform lived through.

Each is made of the training service's own parts, on the archive that the platform has left: what had matured by a
midnight is learnt, thresholds are cut at the lowest cost, and the days from there on are decided.
"""

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from threadpoolctl import threadpool_limits

from services.training.archive import Archive
from services.training.candidate import make_candidate
from services.training.choice import chosen
from services.training.columns import feature_columns
from services.training.data.dataset import TrainingSet, training_set
from services.training.evaluation.policy import choose_thresholds
from services.training.evaluation.scored import Scored
from services.training.recipe import Model
from services.training.search.steps import Steps
from services.training.settings import TrainingSettings
from services.training.trainer import costs_of
from services.training.verdict import Champion
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Thresholds
from shared.runtime.clock import SystemClock
from tests.benchmarks.drift_loop_outcome import Flags, LivePayment

Rows = npt.NDArray[np.float32]

DAY = timedelta(days=1)


class Deciding(NamedTuple):
    """A model and what is made of its scores."""

    model: Model
    thresholds: Thresholds

    def flags(self, rows: Rows) -> Flags:
        """Return which payments are reviewed or declined; rows: shape (n, features)."""
        return np.asarray(self.model.predict_proba(rows)[:, 1] >= self.thresholds.review)


class Arms(NamedTuple):
    """What was flagged without ever training again, and with training every midnight; trainings: of the latter."""

    never: Flags
    daily: Flags
    trainings: int


def arms(archive: Archive, settings: TrainingSettings, payments: Sequence[LivePayment], live_from: datetime) -> Arms:
    """Return what two other ways flag of `payments`, which are in order of time; live_from: a midnight."""
    rows = rows_of(archive, payments, live_from)
    days = np.array([(payment.at - live_from) // DAY for payment in payments])
    never, daily = np.zeros(len(days), dtype=np.bool_), np.zeros(len(days), dtype=np.bool_)
    trainings = 0
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        steps = Steps(Path(folder))
        for day in range(int(days.max()) + 1):
            deciding = trained(training_set(archive, FRAUD, settings, as_of=live_from + day * DAY), settings, steps)
            if day == 0:
                never = deciding.flags(rows)
            own = days == day
            if own.any():
                daily[own] = deciding.flags(rows[own])
            trainings += day > 0
    return Arms(never, daily, trainings)


def trained(data: TrainingSet, settings: TrainingSettings, steps: Steps) -> Deciding:
    """Return a model of `data`, measured, calibrated and cut as a run of the training service does it."""
    champion = Champion(None, "the benchmark begins anew every time")
    choice = chosen(data, champion, settings, steps, SystemClock(), lambda _progress: None)
    candidate = make_candidate(choice.recipe, choice.data, settings, steps)
    held_out = candidate.held_out
    scored = Scored(held_out.frauds, candidate.scores, held_out.cards, held_out.times, held_out.amounts, held_out.rows)
    capacity = settings.headrace_training_reviews_a_day_max
    return Deciding(candidate.model, choose_thresholds(scored, costs_of(settings), reviews_a_day_max=capacity))


def rows_of(archive: Archive, payments: Sequence[LivePayment], live_from: datetime) -> Rows:
    """Return the vectors of `payments` as they were served, shape (payments, features)."""
    names = feature_columns(FRAUD)
    served = archive.vectors(FRAUD, ["transaction_id", *names], since=live_from.date())
    asked = pl.DataFrame({"transaction_id": [payment.transaction_id for payment in payments]})
    found = asked.join(served.unique("transaction_id"), on="transaction_id", how="left", maintain_order="left")
    if found[names[0]].null_count():
        raise SystemExit(f"the archive lacks the vectors of {found[names[0]].null_count()} live payments")
    return found.select(names).to_numpy().astype(np.float32)
