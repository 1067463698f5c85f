"""How a graph makes its score: what is added up, and what turns the sum into the log odds of fraud.

Read from the graph itself, so that what is explained is what scores. Known are the ways that training exports
(services/training/estimators/conversion.py); of any other graph only its probabilities are known.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.models.graph import Graph, UnlikeError
from shared.models.graph_trees import Trees, trees_of

PROBABILITY_MIN = 1e-7
"""In float32 a probability next to 1 tells no log odds; one that is nearer to 0 or 1 counts as this far from them."""


class Link(NamedTuple):
    """What turns a sum into the log odds of fraud: slope * clip(x, low, high) + offset.

    unit: of the sum. x is, of log odds, the sum + intercept; of a probability, clipped first, its log odds.
    """

    unit: Literal["log_odds", "probability"]
    intercept: float = 0.0
    probability_low: float = PROBABILITY_MIN
    probability_high: float = 1 - PROBABILITY_MIN
    low: float = -math.inf
    high: float = math.inf
    slope: float = 1.0
    offset: float = 0.0

    def log_odds(self, total: float) -> float:
        """Return the log odds of fraud where the sum is `total`."""
        if self.unit == "probability":
            inner = log_odds_of(min(max(total, self.probability_low), self.probability_high))
        else:
            inner = total + self.intercept
        return self.slope * min(max(inner, self.low), self.high) + self.offset


class TreeSum(NamedTuple):
    """The sum of the answers of trees. rows: the value whose columns they compare."""

    rows: str
    trees: Trees
    link: Link


class WeightedSum(NamedTuple):
    """The sum of columns, each times its weight. rows: the value that holds them; 0 is a column's training mean."""

    rows: str
    weights: npt.NDArray[np.float64]
    link: Link


Sum = TreeSum | WeightedSum


class Score(NamedTuple):
    """How a graph makes its score.

    log_odds: the value that holds its log odds, shape (n, 1); None where the graph goes by probabilities alone.
    total: what is added up; None where it is no single sum.
    """

    log_odds: str | None
    total: Sum | None


def log_odds_of(probability: float) -> float:
    """Return the log odds of a probability, which is neither 0 nor 1."""
    return math.log(probability) - math.log1p(-probability)


def score_of(graph: Graph) -> Score:
    """Return how `graph` makes its probabilities."""
    try:
        log_odds = _before_sigmoid(graph)
    except UnlikeError:
        return Score(None, _first_like(graph, graph.probabilities, Link("probability"), [_trees_alone]))
    value, line = _calibrated(graph, log_odds)
    return Score(log_odds, _first_like(graph, value, line, [_boosting, _forest, _weighted]))


def _first_like(
    graph: Graph, value: str, line: Link, readers: Sequence[Callable[[Graph, str, Link], Sum]]
) -> Sum | None:
    for read in readers:
        try:
            return read(graph, value, line)
        except UnlikeError:
            continue
    return None


def _before_sigmoid(graph: Graph) -> str:
    """Return the value x where the graph's probabilities are 1 - f and f = 1 / (exp(-x) + 1)."""
    _, frauds = graph.inputs(graph.probabilities, "Concat", 2)
    (odds,) = graph.inputs(frauds, "Reciprocal", 1)
    odds_against, one = _with_number(graph, odds, "Add")
    (negated,) = graph.inputs(odds_against, "Exp", 1)
    (log_odds,) = graph.inputs(negated, "Neg", 1)
    if one != 1:
        raise UnlikeError(f"{frauds} is not a sigmoid")
    return log_odds


def _calibrated(graph: Graph, log_odds: str) -> tuple[str, Link]:
    """Return what a calibration is given, and its line; `log_odds` itself where none was exported."""
    try:
        stretched, offset = _with_number(graph, log_odds, "Add")
        clipped, slope = _with_number(graph, stretched, "Mul")
        value, low, high = graph.inputs(clipped, "Clip", 3)
        line = Link("log_odds", low=graph.number(low), high=graph.number(high), slope=slope, offset=offset)
    except UnlikeError:
        return log_odds, Link("log_odds")
    return value, line


def _boosting(graph: Graph, value: str, line: Link) -> TreeSum:
    grown, baseline = _with_number(graph, value, "Add")
    node = graph.node(grown, "TreeEnsembleRegressor")
    return TreeSum(node.input[0], trees_of(node), line._replace(intercept=baseline))


def _forest(graph: Graph, value: str, line: Link) -> TreeSum:
    """Read the log odds of a probability that trees answer: log(p) - log(1 - p), p clipped."""
    of_fraud, of_genuine = graph.inputs(value, "Sub", 2)
    (fraud,), (genuine,) = graph.inputs(of_fraud, "Log", 1), graph.inputs(of_genuine, "Log", 1)
    one, same = graph.inputs(genuine, "Sub", 2)
    if same != fraud or graph.number(one) != 1:
        raise UnlikeError(f"{value} is not the log odds of a probability")
    column, low, high = graph.inputs(fraud, "Clip", 3)
    answers, place = _with_number(graph, column, "Gather")
    if place != 1:
        raise UnlikeError(f"{column} is not the probability of fraud")
    limits = line._replace(probability_low=graph.number(low), probability_high=graph.number(high))
    return _trees_alone(graph, answers, limits._replace(unit="probability"))


def _trees_alone(graph: Graph, value: str, link: Link) -> TreeSum:
    node = graph.node(value, "TreeEnsembleClassifier")
    return TreeSum(node.input[0], trees_of(node), link)


def _weighted(graph: Graph, value: str, line: Link) -> WeightedSum:
    product, intercept = _with_number(graph, value, "Add")
    rows, weights = graph.inputs(product, "MatMul", 2)
    (clipped,) = graph.inputs(rows, "Cast", 1)
    scaled, _, _ = graph.inputs(clipped, "Clip", 3)
    centred, _ = graph.inputs(scaled, "Div", 2)
    _, means = graph.inputs(centred, "Sub", 2)
    if not graph.is_constant(means):
        raise UnlikeError(f"{rows} is not centred")
    return WeightedSum(rows, graph.constant(weights).ravel(), line._replace(intercept=intercept))


def _with_number(graph: Graph, value: str, kind: str) -> tuple[str, float]:
    """Return the first input of the node of this kind that makes `value`, and the number that is its second."""
    first, second = graph.inputs(value, kind, 2)
    return first, graph.number(second)
