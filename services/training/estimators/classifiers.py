"""Single classifiers, each a pipeline that takes raw rows: from parameters to an estimator that is not fitted.

The parameters stand in choices.py.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from services.training.estimators.anomaly import AnomalyClassifier, IsolationDepth, SegmentDistance
from services.training.estimators.boosting import Boosting
from services.training.estimators.choices import ANOMALY_FEATURES, GENUINE_FRACTION
from services.training.estimators.preparation import CLASSIFIER, PREPARATION, Scaling, numbers_only, preparation

_ISOLATION, _SEGMENTS, _SCALING = "isolation", "segments", "scaling"


class Setting(NamedTuple):
    """What an estimator is made for, beside its parameters.

    categories: the columns of a raw row that hold a category's code. width: of a raw row.
    """

    categories: tuple[int, ...]
    width: int
    jobs: int
    seed: int


def logistic_l1(parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    """Return a logistic regression that leaves features out."""
    saga = LogisticRegression(l1_ratio=1.0, solver="saga", random_state=setting.seed, **_own(parameters))
    return _scaled(saga, parameters, setting)


def logistic_l2(parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    """Return a logistic regression that keeps weights small."""
    return _scaled(LogisticRegression(l1_ratio=0.0, **_own(parameters)), parameters, setting)


def multilayer_perceptron(parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    """Return a network of layers, the widths of which stand in `hidden_layer_sizes` with a "-" between.

    scikit-learn's early stopping would go by accuracy, which a network that never says fraud has nearly all of.
    """
    own = _own(parameters)
    own["hidden_layer_sizes"] = tuple(int(width) for width in own["hidden_layer_sizes"].split("-"))
    network = MLPClassifier(activation="relu", random_state=setting.seed, **own)
    return _scaled(network, parameters, setting)


def decision_tree(parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    """Return one tree."""
    return _pipeline(DecisionTreeClassifier(random_state=setting.seed, **_own(parameters)), parameters, setting)


def random_forest(parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    """Return a forest of trees, each grown on a sample."""
    forest = RandomForestClassifier(n_jobs=setting.jobs, random_state=setting.seed, **_own(parameters))
    return _pipeline(forest, parameters, setting)


def extra_trees(parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    """Return a forest of trees that split at random."""
    forest = ExtraTreesClassifier(bootstrap=True, n_jobs=setting.jobs, random_state=setting.seed, **_own(parameters))
    return _pipeline(forest, parameters, setting)


def gradient_boosting(parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    """Return boosted trees; scikit-learn's early stopping would choose by a random split, not by time."""
    boosting = Boosting(early_stopping=False, random_state=setting.seed, **_own(parameters))
    return _pipeline(boosting, parameters, setting)


def isolation_forest(parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    """Return a score of how soon a payment is isolated; learns without labels."""
    return _without_labels(_ISOLATION, IsolationDepth(random_state=setting.seed, **parameters), setting)


def segment_distance(parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    """Return a score of how far a payment is from every segment; learns without labels."""
    return _without_labels(_SEGMENTS, SegmentDistance(random_state=setting.seed, **parameters), setting)


def _own(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in {GENUINE_FRACTION, ANOMALY_FEATURES}}


def _pipeline(classifier: BaseEstimator, parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    steps = [(PREPARATION, preparation(setting.categories, setting.width, setting.seed))]
    if parameters[ANOMALY_FEATURES]:
        steps.append((_ISOLATION, IsolationDepth(random_state=setting.seed)))
        steps.append((_SEGMENTS, SegmentDistance(random_state=setting.seed)))
    return Pipeline([*steps, (CLASSIFIER, classifier)])


def _scaled(classifier: BaseEstimator, parameters: Mapping[str, Any], setting: Setting) -> Pipeline:
    pipeline = _pipeline(classifier, parameters, setting)
    pipeline.steps.insert(-1, (_SCALING, Scaling()))
    return pipeline


def _without_labels(name: str, measure: BaseEstimator, setting: Setting) -> Pipeline:
    first = numbers_only(setting.categories, setting.width)
    return Pipeline([(PREPARATION, first), (name, measure), (CLASSIFIER, AnomalyClassifier())])
