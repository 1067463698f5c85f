"""What a graph computes on the way to its score."""

import numpy as np
import numpy.typing as npt

from shared.models.graph import Graph
from shared.models.graph_score import PROBABILITY_MIN, Score
from shared.models.session import opened

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


class GraphValues:
    """Runs the part of a graph that makes its score; safe to use from several threads."""

    def __init__(self, graph: Graph, score: Score) -> None:
        self._is_log_odds = score.log_odds is not None
        values = [score.log_odds or graph.probabilities] + ([score.total.rows] if score.total else [])
        self._session = opened(graph.part(values))
        self._rows = graph.rows

    def log_odds(self, rows: Rows) -> Floats:
        """Return the log odds of fraud of each row; rows: shape (n, features). Returns shape (n,)."""
        return self._in_log_odds(self._session.run(None, {self._rows: rows})[0])

    def log_odds_and_columns(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the log odds, and the columns that the score's sum is made of: shape (n, columns)."""
        answers, columns = self._session.run(None, {self._rows: rows})
        return self._in_log_odds(answers), columns.astype(np.float64)

    def _in_log_odds(self, answers: Rows) -> Floats:
        exact = answers.astype(np.float64)
        if self._is_log_odds:
            return exact[:, 0]
        probabilities = np.clip(exact[:, 1], PROBABILITY_MIN, 1 - PROBABILITY_MIN)
        log_odds: Floats = np.log(probabilities) - np.log1p(-probabilities)
        return log_odds
