"""Exact contributions, where a score is a sum: of the answers of trees, or of weighted columns."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from services.scoring.explanation.attribution import Attribution, Floats, Rows, in_log_odds
from services.scoring.explanation.tree_shap import contributions_of, prepared
from shared.models.graph import Graph, UnlikeError
from shared.models.graph_columns import SEVERAL, Columns, columns_of
from shared.models.graph_score import Score, TreeSum, WeightedSum
from shared.models.graph_trees import Trees
from shared.models.graph_values import GraphValues

_BOUND = 1e-5
"""Largest difference, between the score that a graph computes and what its parts add up to, that is float32's."""


class Shares(Protocol):
    """Shares a sum out. base: what it is on average."""

    base: float

    def of(self, columns: Floats) -> Floats:
        """Return what each feature contributes to the sum; shape (features,)."""
        ...


class SummedScore:
    """Runs the graph for a row, and shares out the sum that its score is made of."""

    def __init__(self, graph: Graph, score: Score, probes: Rows) -> None:
        """Read the sum from the graph, and see that it says what the graph says of `probes`: shape (n, features).

        Raises:
            UnlikeError: the score is no such sum, or several features make one of its columns.
            ValueError: it was read, and says something else.
        """
        if score.total is None:
            raise UnlikeError("the score is no sum of trees, nor of weighted columns")
        width = probes.shape[1]
        self._link = score.total.link
        self._values = GraphValues(graph, score)
        features = columns_of(graph, score.total.rows, width)
        computed, columns = self._values.log_odds_and_columns(probes)
        if columns.shape[1] != len(features):
            raise UnlikeError(f"of {columns.shape[1]} columns only {len(features)} could be told from each other")
        self._shares = _shares_of(score.total, features, width)
        read = [self._link.log_odds(self._shares.base + self._shares.of(each).sum()) for each in columns]
        apart = np.abs(expit(read) - expit(computed))
        worst = int(apart.argmax())
        if apart[worst] > _BOUND:
            raise ValueError(
                f"what was read from the graph adds up to log odds of {read[worst]:.6f}, and the graph computes "
                f"{computed[worst]:.6f}; export the model anew"
            )

    def attributed(self, rows: Rows) -> Attribution:
        log_odds, columns = self._values.log_odds_and_columns(rows)
        return in_log_odds(self._shares.of(columns[0]), self._shares.base, float(log_odds[0]), self._link)


class _TreeShares:
    def __init__(self, trees: Trees, features: Columns, width: int) -> None:
        if not trees.has_covers:
            raise UnlikeError("the graph does not tell how many training rows came to each node")
        _check_single(features, trees.columns[trees.left >= 0])
        self._splits, self.base = prepared(trees, features)
        self._width = width

    def of(self, columns: Floats) -> Floats:
        contributions: Floats = contributions_of(self._splits, columns, self._width)
        return contributions


class _WeightShares:
    """A column's share is its weight times its distance from the mean, which is 0."""

    base = 0.0

    def __init__(self, weights: Floats, features: Columns, width: int) -> None:
        used = np.flatnonzero(weights)
        _check_single(features, used)
        self._used, self._weights = used, weights[used]
        self._features = np.array(features)[used]
        self._width = width

    def of(self, columns: Floats) -> Floats:
        contributions: Floats = np.zeros(self._width)
        np.add.at(contributions, self._features, self._weights * columns[self._used])
        return contributions


def _shares_of(total: TreeSum | WeightedSum, features: Columns, width: int) -> Shares:
    if isinstance(total, TreeSum):
        return _TreeShares(total.trees, features, width)
    return _WeightShares(total.weights, features, width)


def _check_single(features: Columns, columns: npt.NDArray[np.intp]) -> None:
    if any(features[column] == SEVERAL for column in columns.tolist()):
        raise UnlikeError("a column is made of several features")
