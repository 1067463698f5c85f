"""A model as the training service makes it, of the first weeks of simulated payments, and what it says of the rest."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from services.drift.champion import Champion, champion_of
from services.training.candidate import make_candidate
from services.training.data.dataset import TrainingSet
from services.training.estimators.export import export
from services.training.estimators.families import Spec
from services.training.evaluation.metrics import evaluate
from services.training.evaluation.policy import choose_thresholds
from services.training.evaluation.scored import Scored
from services.training.manifests import manifest_of
from services.training.measured import Measured
from services.training.recipe import from_scratch
from services.training.search.steps import Steps
from services.training.settings import TrainingSettings
from services.training.trainer import costs_of
from shared.features.catalog.fraud import FRAUD
from shared.models.session import OnnxModel
from tests.benchmarks.drift_payments import CACHE, DAY_US, LABEL_DELAY_DAYS, Payments, start_us
from tests.model_events import model_event

TRAINED_DAYS = 75
WATCHED_FROM_DAY = TRAINED_DAYS + LABEL_DELAY_DAYS
SCORED_AT_ONCE = 10_000


@dataclass(frozen=True)
class Served:
    """A champion, and its scores of all payments, shape (n,): those before WATCHED_FROM_DAY were not decided by it."""

    champion: Champion
    scores: npt.NDArray[np.float32]

    @property
    def flagged(self) -> npt.NDArray[np.bool_]:
        """Which payments would be reviewed or declined, shape (n,)."""
        return self.scores >= np.float64(self.champion.thresholds.review)


def served(payments: Payments) -> Served:
    """Return the model of the first TRAINED_DAYS; what it takes long to compute is kept in CACHE."""
    settings = TrainingSettings(headrace_training_jobs=1, headrace_training_label_delay_days=LABEL_DELAY_DAYS)
    as_of = datetime.fromtimestamp(start_us() / 1e6, UTC) + timedelta(days=WATCHED_FROM_DAY)
    data = _training_set(payments, as_of)
    recipe = from_scratch(Spec("gradient_boosting"), settings)
    candidate = make_candidate(recipe, data, settings, Steps(CACHE / "steps"))
    held_out = candidate.held_out
    scored = Scored(held_out.frauds, candidate.scores, held_out.cards, held_out.times, held_out.amounts, held_out.rows)
    thresholds = choose_thresholds(scored, costs_of(settings))
    measured = Measured(candidate, thresholds, scored, evaluate(scored, thresholds, costs_of(settings)))
    onnx = export(candidate.model, data.rows.shape[1])
    manifest = manifest_of(data, measured, onnx, version=1, now=as_of, code_commit=None)
    event = model_event("promoted", model_digest=hashlib.sha256(onnx).hexdigest(), occurred_at=as_of)
    model = OnnxModel(manifest, onnx)
    parts = range(0, len(payments.rows), SCORED_AT_ONCE)
    scores = np.concatenate([model.scores(payments.rows[at : at + SCORED_AT_ONCE]) for at in parts])
    return Served(champion_of(event, int(as_of.timestamp() * 1000), manifest), scores)


def _training_set(payments: Payments, as_of: datetime) -> TrainingSet:
    """Return what had matured: every fraud among it is labelled by then."""
    taken = slice(0, int(np.searchsorted(payments.times_us, start_us() + TRAINED_DAYS * DAY_US)))
    return TrainingSet(
        FRAUD,
        payments.rows[taken],
        payments.frauds[taken],
        payments.times_us[taken],
        payments.cards[taken],
        payments.amounts[taken],
        as_of,
    )
