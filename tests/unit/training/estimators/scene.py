"""Payments to train on: numbers with gaps and long tails, two categories, about one fraud in twelve."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.metrics import average_precision_score

from services.training.data.dataset import TrainingSet
from services.training.estimators.export import export
from services.training.estimators.families import FAMILIES, Spec
from shared.features.definitions import DAY, Aggregation, Category, Entity, FeatureSet, Field, Row, RowFunction, Window
from shared.models.manifest import Manifest, Thresholds
from shared.models.session import OnnxModel

Rows = npt.NDArray[np.float32]

FEATURES = FeatureSet(
    "scene",
    (
        Row(RowFunction.AMOUNT),
        Category(Field.MCC),
        Window(Entity.CARD, Aggregation.COUNT, DAY),
        Window(Entity.CARD, Aggregation.MEAN, DAY),
        Category(Field.CHANNEL),
        Row(RowFunction.HOUR_SINE),
        Row(RowFunction.NIGHT),
    ),
)
WIDTH = len(FEATURES.features)
AMOUNT, MCC, COUNT, MEAN, CHANNEL, SINE, CONSTANT = range(WIDTH)
MCCS = np.array([0, 82, 5411, 9999])
RISKY = 5411
SMALL: dict[str, dict[str, str | float | bool | None]] = {
    "random_forest": {"n_estimators": 20},
    "extra_trees": {"n_estimators": 20},
    "gradient_boosting": {"max_iter": 20},
    "soft_voting": {"members": "logistic_l2+decision_tree"},
    "stacking": {"members": "logistic_l2+decision_tree"},
    "self_training": {"base": "decision_tree"},
    "isolation_forest": {"trees": 20},
}
"""What keeps a family quick here; the others are quick as they are."""


def spec(family: str, **parameters: str | float | bool | None) -> Spec:
    whole = {name: 1.0 for name in FAMILIES[family].defaults if name == "genuine_fraction"}
    return Spec(family, {**whole, **SMALL.get(family, {}), **parameters})


def payments(count: int = 1_500, *, seed: int = 0, new_pattern: bool = False) -> TrainingSet:
    """Return payments of which large ones, and many of a risky merchant category, are fraud.

    new_pattern: instead, those of busy cards are, and most of all online.
    """
    rng = np.random.default_rng(seed)
    rows = rng.gamma(2.0, 20.0, (count, WIDTH)).astype(np.float32)
    rows[:, MCC], rows[:, CHANNEL] = rng.choice(MCCS, count), rng.integers(0, 2, count)
    rows[:, COUNT], rows[:, CONSTANT] = rng.poisson(3, count), 1
    rows[:, SINE] = np.sin(rng.uniform(0, 6.28, count))
    if new_pattern:
        log_odds = -8 + 1.1 * rows[:, COUNT] + rows[:, CHANNEL]
    else:
        log_odds = -8 + 0.08 * rows[:, AMOUNT] + 2 * (rows[:, MCC] == RISKY)
    frauds = (rng.random(count) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
    rows[rng.random((count, WIDTH)) < 0.02] = np.nan
    return training_set(rows, frauds)


def training_set(rows: Rows, frauds: npt.NDArray[np.int8], unlabelled: Rows | None = None) -> TrainingSet:
    count = np.arange(len(rows), dtype=np.int64)
    return TrainingSet(
        feature_set=FEATURES,
        rows=rows,
        frauds=frauds,
        times=count,
        cards=count % 50,
        amounts=count,
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
        unlabelled=rows[:0] if unlabelled is None else unlabelled,
    )


def average_precision(model: BaseEstimator, data: TrainingSet) -> float:
    return float(average_precision_score(data.frauds, model.predict_proba(data.rows)[:, 1]))


def loaded(model: BaseEstimator) -> OnnxModel:
    """Return `model` as it is served."""
    manifest = Manifest(
        model_name="fraud",
        model_version=1,
        model_digest="",
        feature_set=FEATURES.name,
        feature_version=FEATURES.version,
        feature_names=FEATURES.feature_names,
        estimator="",
        family="",
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
        data_digest="",
        training_rows=1,
        metrics={},
        thresholds=Thresholds(review=0.5, decline=0.9),
        references={},
    )
    return OnnxModel(manifest, export(model, WIDTH))
