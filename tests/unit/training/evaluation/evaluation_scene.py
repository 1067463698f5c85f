"""Scored payments, and a training run to report on, drawn from a seed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from services.training.data.leakage import Check
from services.training.data.quality import DataQuality, Finding
from services.training.estimators.families import Spec
from services.training.evaluation.curves import Drawn
from services.training.evaluation.importance import Importance
from services.training.evaluation.metrics import evaluate
from services.training.evaluation.periods import periods_of
from services.training.evaluation.policy import Costs, choose_thresholds
from services.training.evaluation.report_input import Incumbent, ReportInput
from services.training.evaluation.scored import DAY_US, Scored
from services.training.evaluation.segments import segments
from services.training.gates.guard_rails import GuardRail
from services.training.gates.promotion import PairedTest
from services.training.search.runner import Trial
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import Category
from shared.features.state import category_code
from shared.models.manifest import Manifest, Thresholds

COSTS = Costs(500, 1_500, 1_000, 0.1)
BEGIN_US = 20_000 * DAY_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def scored(
    seed: int = 0, *, payments: int = 2_000, cards: int = 200, days: int = 8, sharpness: float = 3.0, rate: float = 0.05
) -> Scored:
    """Return calibrated scores of payments in order of time, with rows of the fraud feature set.

    sharpness: how far apart frauds and genuine payments are scored, in standard deviations of the log odds.
    """
    rng = np.random.default_rng(seed)
    frauds = (rng.random(payments) < rate).astype(np.int8)
    frauds[:2] = 0, 1
    evidence = rng.normal(0, 1, payments) + sharpness * frauds
    log_odds = sharpness * evidence - sharpness**2 / 2 + np.log(rate / (1 - rate))
    return Scored(
        frauds,
        (1 / (1 + np.exp(-log_odds))).astype(np.float32),
        rng.integers(0, cards, payments),
        BEGIN_US + np.sort(rng.integers(0, days * DAY_US, payments)),
        rng.lognormal(8, 1, payments).astype(np.int64) + 1,
        rows_of(rng, payments),
    )


def rows_of(rng: np.random.Generator, payments: int) -> npt.NDArray[np.float32]:
    """Return rows of the fraud feature set: random numbers, and codes of two countries and so on for the categories."""
    rows = rng.exponential(86_400, (payments, len(FRAUD.features))).astype(np.float32)
    shown = {
        "channel": ("ecommerce", "atm"),
        "country": ("DE", "FR"),
        "mcc": ("5411", "7995"),
        "currency": ("EUR", "USD"),
    }
    for at, feature in enumerate(FRAUD.features):
        if isinstance(feature, Category):
            codes = [category_code(feature.field, text) for text in shown[feature.field.value]]
            rows[:, at] = rng.choice(codes, payments, p=[0.7, 0.3])
    return rows


def shuffled(of: Scored, seed: int) -> Scored:
    """Return the same payments, scored with noise."""
    noise = np.random.default_rng(seed).normal(0, 2, len(of.scores))
    log_odds = np.log(of.scores / (1 - of.scores)) + noise
    return replace(of, scores=(1 / (1 + np.exp(-log_odds))).astype(np.float32))


def manifest(version: int, thresholds: Thresholds) -> Manifest:
    return Manifest(
        model_name="fraud",
        model_version=version,
        model_digest="ab" * 32,
        feature_set="fraud",
        feature_version=FRAUD.version,
        feature_names=FRAUD.feature_names,
        estimator="gradient_boosting(learning_rate=0.1)",
        family="gradient_boosting",
        parameters={"learning_rate": 0.1},
        code_commit="c0ffee" * 6,
        trained_at=EPOCH + timedelta(days=20_030),
        data_digest="cd" * 32,
        training_rows=12_345,
        trained_until=EPOCH + timedelta(days=20_000 + version),
        metrics={},
        thresholds=thresholds,
        references={},
    )


def report_input(
    *, champion: bool = True, reason: str = "better than version 6: a lead of +0.120", seed: int = 0
) -> ReportInput:
    """Return a run that promoted version 7, against version 6 or against nobody."""
    held_out = scored(seed)
    thresholds = choose_thresholds(held_out, COSTS)
    new = held_out.times > BEGIN_US + 3 * DAY_US
    incumbent = Incumbent(manifest(6, Thresholds(review=0.1, decline=0.8)), shuffled(held_out.part(new), seed + 1))
    made = ReportInput(
        manifest=manifest(7, thresholds),
        promoted=True,
        reason=reason,
        test=PairedTest(True, 0.12, 0.0005, "a lead of +0.120 in average precision; p = 0.0005") if champion else None,
        rails=(GuardRail("latency", True, "one payment takes 31 us"), GuardRail("calibration", True, "off by 0.004")),
        scored=held_out,
        evaluation=evaluate(held_out, thresholds, COSTS, resamples=50),
        costs=COSTS,
        segments=segments(held_out, FRAUD, thresholds.review, resamples=20),
        quality=DataQuality(
            rows=12_345,
            frauds=617,
            unlabelled=400,
            oldest=EPOCH + timedelta(days=19_950),
            newest=EPOCH + timedelta(days=20_008),
            findings=(
                Finding("near_constant", "device_count_1h", "is 0 in 99.95% of the payments", 0.9995),
                Finding("repeated", None, "12 payments were sent more than once", 0.001),
            ),
        ),
        checks=(Check("no feature alone tells fraud", True, "the strongest feature alone has AUC 0.870"),),
        trials=(
            Trial(Spec("logistic_l2"), 0, 1 / 3, (), 0.4, False, "fold 1: it did not converge"),
            Trial(Spec("random_forest"), 0, 1 / 3, (0.41, 0.45), 3.4, True),
            Trial(Spec("gradient_boosting", {"learning_rate": 0.1}), 1, 1.0, (0.51, 0.57), 8.1, False),
        ),
        reused=("stand-in 1",),
        champion=incumbent if champion else None,
        periods=(),
        importances=tuple(
            Importance(name, 0.3 / at, 0.25 / at, 0.35 / at) for at, name in enumerate(FRAUD.feature_names, start=1)
        ),
        export_difference=2.4e-7,
        label_delay_days=7.0,
    )
    begins = [BEGIN_US + day * DAY_US for day in range(0, 8, 2)]
    ours, *theirs = made.drawn
    return replace(made, periods=periods_of([Drawn(ours.label, held_out), *theirs], begins, resamples=20))
