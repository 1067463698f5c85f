"""What the classifiers inside a model see, and where their trees split."""

from collections import defaultdict
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from services.training.estimators.calibrated import Calibrated
from services.training.estimators.preparation import PREPARATION, RATES
from tests.unit.training.estimators.scene import FEATURES


def raw_columns(pipeline: Pipeline) -> list[int]:
    """Return for each column the classifier sees the raw one that it is made of; -1 where it is made of several."""
    columns = [column for _, _, columns in pipeline.named_steps[PREPARATION].transformers_ for column in columns]
    return columns + [-1] * (pipeline[-1].n_features_in_ - len(columns))


def thresholds_of(model: Calibrated) -> dict[int, list[float]]:
    """Return by raw column the thresholds of all trees, those of anomaly features too; not those on a rate."""
    found: dict[int, list[float]] = defaultdict(list)
    for pipeline in _pipelines(model.estimator_):
        columns = raw_columns(pipeline)
        has_rates = RATES in pipeline.named_steps[PREPARATION].named_transformers_
        for feature, threshold in _splits(pipeline):
            if columns[feature] >= 0 and not (has_rates and columns[feature] in FEATURES.categories):
                found[columns[feature]].append(threshold)
    return dict(found)


def _pipelines(estimator: Any) -> list[Pipeline]:
    return [estimator] if isinstance(estimator, Pipeline) else list(estimator.estimators_)


def _splits(pipeline: Pipeline) -> list[tuple[int, float]]:
    splits = []
    for step in pipeline.named_steps.values():
        for tree in getattr(step, "estimators_", [step]):
            if hasattr(tree, "tree_"):
                inner = tree.tree_.children_left >= 0
                splits += list(zip(tree.tree_.feature[inner], tree.tree_.threshold[inner], strict=True))
        for (tree,) in getattr(step, "_predictors", []):
            inner = tree.nodes["is_leaf"] == 0
            nodes = tree.nodes[inner]
            splits += list(zip(nodes["feature_idx"].tolist(), nodes["num_threshold"], strict=True))
    return [(int(feature), float(np.float64(threshold))) for feature, threshold in splits]
