"""The parameters of each family: what they are unless chosen, and what a search draws them from.

Parameters have the names that scikit-learn gives them, but for those of this package: genuine_fraction (see
Calibrated), anomaly_features, which lets a classifier see how unlike other payments a payment is, members and base,
which are names of other families. A parameter of one of these is named behind it: random_forest.max_features.
"""

from collections.abc import Mapping
from typing import NamedTuple

Scalar = str | int | float | bool | None

GENUINE_FRACTION, ANOMALY_FEATURES = "genuine_fraction", "anomaly_features"
BASE, MEMBERS, BETWEEN_MEMBERS, OF_MEMBER = "base", "members", "+", "."


class Choices(NamedTuple):
    """defaults: every parameter there is. space: the values to draw from, as ParameterSampler takes them."""

    defaults: Mapping[str, Scalar]
    space: Mapping[str, list[Scalar]]


_WEIGHTS: list[Scalar] = [None, "balanced"]
_BOTH: list[Scalar] = [False, True]
_FRACTIONS: list[Scalar] = [0.1, 0.25, 0.5, 1.0]

_LOGISTIC: dict[str, Scalar] = {
    "C": 1.0,
    "class_weight": None,
    "max_iter": 100,
    GENUINE_FRACTION: 0.25,
    ANOMALY_FEATURES: False,
}
_LOGISTIC_SPACE: dict[str, list[Scalar]] = {
    "C": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
    "class_weight": _WEIGHTS,
    GENUINE_FRACTION: _FRACTIONS,
    ANOMALY_FEATURES: _BOTH,
}
LOGISTIC_L1 = Choices({**_LOGISTIC, "max_iter": 60, "tol": 1e-3}, _LOGISTIC_SPACE)
LOGISTIC_L2 = Choices(_LOGISTIC, _LOGISTIC_SPACE)

DECISION_TREE = Choices(
    {
        "max_depth": 8,
        "min_samples_leaf": 20,
        "ccp_alpha": 0.0,
        "class_weight": None,
        GENUINE_FRACTION: 1.0,
        ANOMALY_FEATURES: False,
    },
    {
        "max_depth": [4, 6, 8, 12],
        "min_samples_leaf": [10, 20, 50, 100],
        "ccp_alpha": [0.0, 1e-5, 1e-4],
        "class_weight": _WEIGHTS,
        GENUINE_FRACTION: _FRACTIONS,
        ANOMALY_FEATURES: _BOTH,
    },
)

_FOREST: dict[str, Scalar] = {
    "n_estimators": 100,
    "min_samples_leaf": 2,
    "max_depth": None,
    "max_samples": 0.2,
    # The square root of their number, as is usual, finds a rare telling feature among many too seldom.
    "max_features": 0.2,
    "class_weight": None,
    GENUINE_FRACTION: 1.0,
    ANOMALY_FEATURES: False,
}
# A search leaves class_weight alone: genuine_fraction does the same to a forest, and is undone exactly.
_FOREST_SPACE: dict[str, list[Scalar]] = {
    "n_estimators": [100, 200],
    "min_samples_leaf": [1, 2, 4, 8, 16],
    "max_depth": [None, 8, 12, 20],
    "max_samples": [0.1, 0.2, 0.4],
    "max_features": [0.1, 0.2, 0.35, 0.5],
    GENUINE_FRACTION: _FRACTIONS,
    ANOMALY_FEATURES: _BOTH,
}
RANDOM_FOREST = Choices(_FOREST, _FOREST_SPACE)
EXTRA_TREES = Choices({**_FOREST, "max_samples": 0.4}, _FOREST_SPACE)

GRADIENT_BOOSTING = Choices(
    {
        "max_iter": 150,
        "learning_rate": 0.06,
        "max_leaf_nodes": 15,
        "min_samples_leaf": 20,
        "l2_regularization": 1.0,
        "max_features": 0.4,
        "class_weight": None,
        GENUINE_FRACTION: 0.25,
        ANOMALY_FEATURES: False,
    },
    {
        "max_iter": [100, 150, 250],
        "learning_rate": [0.03, 0.06, 0.1],
        "max_leaf_nodes": [7, 15, 31],
        "min_samples_leaf": [10, 20, 50, 100],
        "l2_regularization": [0.0, 0.3, 1.0, 3.0, 10.0],
        "max_features": [0.2, 0.4, 0.7],
        "class_weight": _WEIGHTS,
        GENUINE_FRACTION: _FRACTIONS,
        ANOMALY_FEATURES: _BOTH,
    },
)

MULTILAYER_PERCEPTRON = Choices(
    {
        "hidden_layer_sizes": "32-16",
        "alpha": 1e-2,
        "learning_rate_init": 3e-3,
        "max_iter": 20,
        GENUINE_FRACTION: 0.25,
        ANOMALY_FEATURES: False,
    },
    {
        "hidden_layer_sizes": ["16", "32", "64", "32-16", "64-32"],
        "alpha": [1e-3, 1e-2, 1e-1, 1.0],
        "learning_rate_init": [1e-3, 3e-3],
        "max_iter": [10, 20, 40],
        GENUINE_FRACTION: [0.1, 0.25, 0.5],
        ANOMALY_FEATURES: _BOTH,
    },
)

SOFT_VOTING = Choices(
    {MEMBERS: "random_forest+gradient_boosting", GENUINE_FRACTION: 0.25},
    {
        MEMBERS: [
            "random_forest+gradient_boosting",
            "logistic_l2+random_forest+gradient_boosting",
            "extra_trees+gradient_boosting",
            "multilayer_perceptron+random_forest+gradient_boosting",
        ],
        GENUINE_FRACTION: _FRACTIONS,
    },
)
STACKING = Choices(
    {MEMBERS: "logistic_l2+gradient_boosting", "C": 0.1, GENUINE_FRACTION: 0.25},
    {
        MEMBERS: [
            "logistic_l2+gradient_boosting",
            "logistic_l2+random_forest+gradient_boosting",
            "multilayer_perceptron+extra_trees+gradient_boosting",
        ],
        "C": [0.01, 0.1, 1.0],
        GENUINE_FRACTION: [0.1, 0.25, 0.5],
    },
)

ISOLATION_FOREST = Choices({"trees": 100, "sample": 256}, {"sample": [128, 256, 512]})
SEGMENT_DISTANCE = Choices({"segments": 8}, {"segments": [2, 4, 8, 16, 32]})

SELF_TRAINING = Choices(
    {BASE: "random_forest", "threshold": 0.9, "max_iter": 3, GENUINE_FRACTION: 0.25},
    {
        BASE: ["logistic_l2", "random_forest", "gradient_boosting"],
        "threshold": [0.8, 0.9, 0.95, 0.99],
        "max_iter": [1, 3],
        GENUINE_FRACTION: [0.1, 0.25, 0.5],
    },
)
