"""How the estimators of this package become ONNX: what skl2onnx is told of them.

With every tree that is explained goes how many training rows came to each of its nodes.

A classifier that has log odds of its own hands them on as they are. Through a probability in float32 they would lose
what lies next to 0 and 1, which calibration spreads out again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import logit
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from skl2onnx.operator_converters.decision_tree import convert_sklearn_decision_tree_classifier
from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_classifier
from skl2onnx.operator_converters.target_encoder import convert_sklearn_target_encoder
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from services.training.estimators.anomaly import SCALED_STEPS, AnomalyClassifier, IsolationDepth, SegmentDistance
from services.training.estimators.boosting import Boosting
from services.training.estimators.calibrated import PROBABILITY_MAX, PROBABILITY_MIN, Calibrated
from services.training.estimators.nodes import COVERS, Nodes
from services.training.estimators.preparation import LIMIT, FraudRates, Scaling
from services.training.estimators.transfer import SegmentSpecialist

Converter = Callable[[Any, Any, Any], None]

_OPTIONS = {name: [True, False] for name in ("zipmap", "nocl", "raw_scores", "decision_path", "decision_leaf")}
"""What skl2onnx, or one of its converters that are called here, asks of a classifier."""


def register() -> None:
    """Tell skl2onnx of the estimators of this package."""
    transformers: list[tuple[type, Converter]] = [
        (FraudRates, convert_sklearn_target_encoder),
        (Scaling, _convert_scaling),
        (IsolationDepth, _convert_isolation_depth),
        (SegmentDistance, _convert_segment_distance),
    ]
    for kind, converter in transformers:
        update_registered_converter(kind, f"Headrace{kind.__name__}", _floats, converter)
    classifiers: list[tuple[type, Converter]] = [
        (Boosting, _convert_from_log_odds),
        (AnomalyClassifier, _convert_from_log_odds),
        (Calibrated, _convert_calibrated),
        (SegmentSpecialist, _convert_segment_specialist),
        (DecisionTreeClassifier, _with_covers(convert_sklearn_decision_tree_classifier)),
        (RandomForestClassifier, _with_covers(convert_sklearn_random_forest_classifier)),
        (ExtraTreesClassifier, _with_covers(convert_sklearn_random_forest_classifier)),
    ]
    for kind, converter in classifiers:
        shape = calculate_linear_classifier_output_shapes
        update_registered_converter(kind, f"Headrace{kind.__name__}", shape, converter, options=_OPTIONS)


def _floats(operator: Any) -> None:
    fitted = operator.raw_operator
    width = fitted.n_features_in_ + isinstance(fitted, IsolationDepth | SegmentDistance)
    operator.outputs[0].type = FloatTensorType([operator.inputs[0].get_first_dimension(), width])


def _convert_scaling(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, container)
    scaled = _scaled(nodes, operator.raw_operator, operator.inputs[0].full_name)
    nodes.cast(scaled, np.float32, into=operator.outputs[0].full_name)


def _scaled(nodes: Nodes, scaling: Scaling, rows: str) -> str:
    """Return what `scaling` makes of `rows`, in float64."""
    exact = nodes.cast(rows, np.float64)
    size = nodes.add("Add", nodes.add("Abs", exact), nodes.constant(1.0, np.float64))
    compressed = nodes.add("Mul", nodes.add("Sign", exact), nodes.add("Log", size))
    centred = nodes.add("Sub", compressed, nodes.constant(scaling.mean_, np.float64))
    scaled = nodes.add("Div", centred, nodes.constant(scaling.scale_, np.float64))
    return nodes.add("Clip", scaled, nodes.constant(-LIMIT, np.float64), nodes.constant(LIMIT, np.float64))


def _convert_isolation_depth(scope: Any, operator: Any, container: Any) -> None:
    nodes, fitted, rows = Nodes(scope, container), operator.raw_operator, operator.inputs[0].full_name
    steps = nodes.trees(rows, fitted.trees_)
    depth = nodes.add("Div", steps, nodes.constant(fitted.steps_a_depth))
    nodes.add("Concat", rows, depth, into=operator.outputs[0].full_name, axis=1)


def _convert_segment_distance(scope: Any, operator: Any, container: Any) -> None:
    nodes, fitted, rows = Nodes(scope, container), operator.raw_operator, operator.inputs[0].full_name
    scaled = _scaled(nodes, fitted.scaling_, rows)
    steps = nodes.add("Round", nodes.add("Mul", scaled, nodes.constant(float(SCALED_STEPS), np.float64)))
    counted = nodes.add("Unsqueeze", nodes.cast(steps, np.float32), nodes.constant([1], np.int64))
    apart = nodes.add("Sub", counted, nodes.constant(fitted.centres_[np.newaxis]))
    squares = nodes.add("ReduceSum", nodes.add("Mul", apart, apart), nodes.constant([2], np.int64), keepdims=0)
    nearest = nodes.add("ReduceMin", squares, nodes.constant([1], np.int64), keepdims=1)
    distance = nodes.add("Div", nodes.add("Sqrt", nearest), nodes.constant(SCALED_STEPS))
    nodes.add("Concat", rows, distance, into=operator.outputs[0].full_name, axis=1)


def _with_covers(convert: Converter) -> Converter:
    """Return a converter of trees that tells the rows, by their weights, that came to each node; skl2onnx writes 1."""

    def converted(scope: Any, operator: Any, container: Any) -> None:
        already = len(container.nodes)
        convert(scope, operator, container)
        model = operator.raw_operator
        covers = np.concatenate([tree.tree_.weighted_n_node_samples for tree in getattr(model, "estimators_", [model])])
        for node in container.nodes[already:]:
            for attribute in node.attribute:
                if attribute.name == COVERS:
                    attribute.floats[:] = covers.tolist()

    return converted


def _convert_from_log_odds(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, container)
    _answer(nodes, _log_odds(nodes, operator.raw_operator, operator.inputs[0]), operator)


def _convert_calibrated(scope: Any, operator: Any, container: Any) -> None:
    nodes, model = Nodes(scope, container), operator.raw_operator
    slope, offset = model.line
    limits = [nodes.constant(logit(limit)) for limit in (PROBABILITY_MIN, PROBABILITY_MAX)]
    log_odds = nodes.add("Clip", _log_odds(nodes, model.estimator_, operator.inputs[0]), *limits)
    stretched = nodes.add("Mul", log_odds, nodes.constant(slope))
    _answer(nodes, nodes.add("Add", stretched, nodes.constant(offset)), operator)


def _answer(nodes: Nodes, log_odds: str, operator: Any) -> None:
    """Add a classifier's two outputs: labels (n,), probabilities (n, 2); log_odds: shape (n, 1)."""
    odds_against = nodes.add("Exp", nodes.add("Neg", log_odds))
    frauds = nodes.add("Reciprocal", nodes.add("Add", odds_against, nodes.constant(1.0)))
    genuine = nodes.add("Sub", nodes.constant(1.0), frauds)
    nodes.add("Concat", genuine, frauds, into=operator.outputs[1].full_name, axis=1)
    _labels(nodes, frauds, operator)


def _labels(nodes: Nodes, frauds: str, operator: Any) -> None:
    of_rows = nodes.add("Reshape", frauds, nodes.constant([-1], np.int64))
    nodes.cast(nodes.add("Greater", of_rows, nodes.constant(0.5)), np.int64, into=operator.outputs[0].full_name)


def _log_odds(nodes: Nodes, model: Any, rows: Any) -> str:
    """Return the log odds of fraud that `model` gives the variable `rows`: shape (n, 1)."""
    if isinstance(model, Pipeline):
        for _, transformer in model.steps[:-1]:
            rows = nodes.transformed(transformer, rows)
        model = model[-1]
    match model:
        case LogisticRegression():
            log_odds = _layer(nodes, rows.full_name, model.coef_.T, model.intercept_)
        case MLPClassifier():
            log_odds = _network(nodes, rows.full_name, model)
        case AnomalyClassifier():
            column = nodes.column(rows.full_name, model.n_features_in_ - 1)
            centred = nodes.add("Sub", column, nodes.constant(model.centre_))
            log_odds = nodes.add("Div", centred, nodes.constant(model.scale_))
        case Boosting():
            covers = [tree.nodes["count"] for (tree,) in model._predictors]
            grown = nodes.trees(rows.full_name, model.trees(), covers)
            log_odds = nodes.add("Add", grown, nodes.constant(model.baseline))
        case StackingClassifier():
            members = nodes.add("Concat", *_probabilities(nodes, model.estimators_, rows), axis=1)
            log_odds = _layer(nodes, members, model.final_estimator_.coef_.T, model.final_estimator_.intercept_)
        case VotingClassifier():
            log_odds = _logit(nodes, nodes.add("Mean", *_probabilities(nodes, model.estimators_, rows)))
        case _:
            log_odds = _logit(nodes, *_probabilities(nodes, [model], rows))
    return log_odds


def _network(nodes: Nodes, value: str, network: MLPClassifier) -> str:
    *hidden, last = zip(network.coefs_, network.intercepts_, strict=True)
    for weights, offsets in hidden:
        value = nodes.add("Relu", _layer(nodes, value, weights, offsets))
    return _layer(nodes, value, *last)


def _logit(nodes: Nodes, probability: str) -> str:
    fraud = nodes.add("Clip", probability, nodes.constant(PROBABILITY_MIN), nodes.constant(PROBABILITY_MAX))
    genuine = nodes.add("Sub", nodes.constant(1.0), fraud)
    return nodes.add("Sub", nodes.add("Log", fraud), nodes.add("Log", genuine))


def _probabilities(nodes: Nodes, models: Sequence[Any], rows: Any) -> list[str]:
    """Return the probability of fraud that each model gives the variable `rows`: shape (n, 1)."""
    return [nodes.column(nodes.classified(model, rows), 1) for model in models]


def _layer(nodes: Nodes, value: str, weights: Any, offsets: Any) -> str:
    return nodes.add("Add", nodes.add("MatMul", value, nodes.constant(weights)), nodes.constant(offsets))


def _convert_segment_specialist(scope: Any, operator: Any, container: Any) -> None:
    nodes, model, rows = Nodes(scope, container), operator.raw_operator, operator.inputs[0]
    base, specialist = nodes.classified(model.base, rows), nodes.classified(model.specialist, rows)
    is_special = nodes.add("Equal", nodes.column(rows.full_name, model.feature), nodes.constant(model.code))
    chosen = nodes.add("Where", is_special, specialist, base, into=operator.outputs[1].full_name)
    _labels(nodes, nodes.column(chosen, 1), operator)
