"""The families of candidates: what each is made of, its defaults, and what a search may vary.

Every family takes raw float32 rows and becomes one ONNX graph. The same specification, payments and seed give the same
model, bit for bit.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.semi_supervised import SelfTrainingClassifier
from threadpoolctl import threadpool_limits

from services.training.data.dataset import TrainingSet
from services.training.estimators import choices, classifiers
from services.training.estimators.calibrated import UNLABELLED, Calibrated
from services.training.estimators.choices import BASE, BETWEEN_MEMBERS, GENUINE_FRACTION, MEMBERS, OF_MEMBER, Scalar
from services.training.estimators.classifiers import Setting
from services.training.refusal import RefusedError
from shared.features.definitions import FeatureSet

SELF_TRAINING = "self_training"
STACKING_FOLDS = 4


@dataclass(frozen=True)
class Spec:
    """One candidate before it is trained: a family, and what of its defaults is changed."""

    family: str
    parameters: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put the parameters in order, and their values into plain Python: a sampler may draw numpy's."""
        plain = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in sorted(self.parameters.items())
        }
        object.__setattr__(self, "parameters", plain)

    def __hash__(self) -> int:
        return hash((self.family, tuple(self.parameters.items())))

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{name}={value}' for name, value in self.parameters.items())})"

    def to_json(self) -> str:
        """Return one line from which `from_json` makes an equal specification."""
        return json.dumps({"family": self.family, "parameters": self.parameters})

    @staticmethod
    def from_json(line: str) -> "Spec":
        """Return the specification that `to_json` wrote."""
        return Spec(**json.loads(line))


@dataclass(frozen=True)
class Family:
    """A kind of model.

    make: from all parameters to an unfitted estimator of raw rows. defaults: every parameter there is.
    space: by parameter, the values that a search draws from, as scikit-learn's ParameterSampler takes them.
    """

    name: str
    make: Callable[[Mapping[str, Any], Setting], BaseEstimator]
    defaults: Mapping[str, Scalar]
    space: Mapping[str, list[Scalar]]


def build(spec: Spec, feature_set: FeatureSet, *, jobs: int = 1, seed: int = 0) -> Calibrated:
    """Return the unfitted model.

    Raises:
        RefusedError: there is no such family, or it has no such parameter.
    """
    setting = Setting(tuple(feature_set.categories), len(feature_set.features), jobs, seed)
    parameters = _parameters(spec)
    estimator = FAMILIES[spec.family].make(parameters, setting)
    return Calibrated(estimator, genuine_fraction=parameters.get(GENUINE_FRACTION, 1.0), random_state=seed)


def fit(spec: Spec, data: TrainingSet, *, jobs: int = 1, seed: int = 0) -> Calibrated:
    """Return the model, trained on all of `data`; self_training learns from its unlabelled payments too.

    Raises:
        RefusedError: there is no such family, or it has no such parameter.
    """
    model = build(spec, data.feature_set, jobs=jobs, seed=seed)
    rows, frauds = data.rows, data.frauds
    if spec.family == SELF_TRAINING and len(data.unlabelled):
        rows = np.concatenate([rows, data.unlabelled])
        frauds = np.concatenate([frauds, np.full(len(data.unlabelled), UNLABELLED, dtype=frauds.dtype)])
    elif spec.family == SELF_TRAINING:
        model.set_params(estimator=model.estimator.estimator)
    with threadpool_limits(jobs):
        return model.fit(rows, frauds)


def _parameters(spec: Spec) -> dict[str, Any]:
    if spec.family not in FAMILIES:
        raise RefusedError("unknown_family", f"there is no family {spec.family!r}; choose from {', '.join(FAMILIES)}")
    defaults = FAMILIES[spec.family].defaults
    parameters = {**defaults, **spec.parameters}
    members = _member_names(parameters)
    others = spec.parameters.keys() - defaults.keys()
    if unknown := sorted(name for name in others if not _is_of_a_member(name, members)):
        raise RefusedError(
            "unknown_parameter", f"{spec.family} has no parameter {', '.join(unknown)}; it has {', '.join(defaults)}"
        )
    return parameters


def _member_names(parameters: Mapping[str, Any]) -> list[str]:
    names: str = parameters.get(MEMBERS) or parameters.get(BASE) or ""
    return names.split(BETWEEN_MEMBERS)


def _is_of_a_member(name: str, members: list[str]) -> bool:
    """Return whether `name` is a member's parameter; which payments are taken is decided for all members at once."""
    family, _, parameter = name.partition(OF_MEMBER)
    return family in members and parameter not in {"", GENUINE_FRACTION}


def _member(family: str, parameters: Mapping[str, Any], setting: Setting) -> BaseEstimator:
    """Return a member made with its defaults, but for what `parameters` changes of them."""
    own = {
        name.removeprefix(family + OF_MEMBER): value
        for name, value in parameters.items()
        if _is_of_a_member(name, [family])
    }
    whole = _parameters(Spec(family, own))
    return FAMILIES[family].make(whole, setting)


def _members(parameters: Mapping[str, Any], setting: Setting) -> list[tuple[str, BaseEstimator]]:
    return [(family, _member(family, parameters, setting)) for family in _member_names(parameters)]


def _soft_voting(parameters: Mapping[str, Any], setting: Setting) -> BaseEstimator:
    return VotingClassifier(_members(parameters, setting), voting="soft", flatten_transform=False)


def _stacking(parameters: Mapping[str, Any], setting: Setting) -> BaseEstimator:
    return StackingClassifier(
        _members(parameters, setting),
        final_estimator=LogisticRegression(C=parameters["C"]),
        cv=StratifiedKFold(STACKING_FOLDS, shuffle=True, random_state=setting.seed),
        stack_method="predict_proba",
    )


def _self_training(parameters: Mapping[str, Any], setting: Setting) -> BaseEstimator:
    base = _member(parameters[BASE], parameters, setting)
    return SelfTrainingClassifier(base, threshold=parameters["threshold"], max_iter=parameters["max_iter"])


FAMILIES = {
    family.name: family
    for family in (
        Family("logistic_l1", classifiers.logistic_l1, *choices.LOGISTIC_L1),
        Family("logistic_l2", classifiers.logistic_l2, *choices.LOGISTIC_L2),
        Family("decision_tree", classifiers.decision_tree, *choices.DECISION_TREE),
        Family("random_forest", classifiers.random_forest, *choices.RANDOM_FOREST),
        Family("extra_trees", classifiers.extra_trees, *choices.EXTRA_TREES),
        Family("gradient_boosting", classifiers.gradient_boosting, *choices.GRADIENT_BOOSTING),
        Family("multilayer_perceptron", classifiers.multilayer_perceptron, *choices.MULTILAYER_PERCEPTRON),
        Family("soft_voting", _soft_voting, *choices.SOFT_VOTING),
        Family("stacking", _stacking, *choices.STACKING),
        Family("isolation_forest", classifiers.isolation_forest, *choices.ISOLATION_FOREST),
        Family("segment_distance", classifiers.segment_distance, *choices.SEGMENT_DISTANCE),
        Family(SELF_TRAINING, _self_training, *choices.SELF_TRAINING),
    )
}
"""By name."""
