"""Why a model scored a payment as it did: what each feature adds to the log odds of fraud.

Computed from the ONNX graph itself, never from the model that it was exported from.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from services.scoring.explanation.attribution import Attribution, Rows
from services.scoring.explanation.sampling import SampledScore
from services.scoring.explanation.sums import SummedScore
from shared.models.graph import Graph, UnlikeError
from shared.models.graph_score import Score, WeightedSum, score_of
from shared.models.manifest import Manifest

MethodName = Literal["tree_shap", "linear", "sampled"]


class Explanation(NamedTuple):
    """What each feature adds to the log odds of fraud.

    method: "tree_shap": exact Shapley values of the trees, against what they answer on average; a forest's are exact in
    its probability, and stretched alike to log odds. "linear": each feature's own term, against its mean. "sampled": an
    approximation, against a typical payment, where the model is neither, lets one column be made of several features,
    or was exported without the counts that exact values take.
    base: log odds of the average or typical answer. logit: those of the score; base and contributions add up to it.
    contributions: shape (features,), in the order of the manifest's feature_names.
    """

    method: MethodName
    base: float
    logit: float
    contributions: npt.NDArray[np.float64]


class Explainer:
    """Explains the scores of one model; safe to use from several threads."""

    def __init__(self, manifest: Manifest, onnx: bytes) -> None:
        """Read the model's graph, and choose how to explain it.

        Raises:
            ValueError: the bytes are no classifier's graph, or what is read from it says something else than it does.
        """
        graph = Graph(onnx)
        self._width = len(manifest.feature_names)
        self._method_name, self._method = _method(graph, score_of(graph), manifest)

    def explain(self, values: Sequence[float]) -> Explanation:
        """Return why the vector `values`, in the order of the manifest's feature_names, is scored as it is.

        Raises:
            ValueError: there are more or fewer values than features.
        """
        if len(values) != self._width:
            raise ValueError(f"{len(values)} values cannot be explained by a model of {self._width} features")
        attribution = self._method.attributed(np.array([values], dtype=np.float32))
        return Explanation(self._method_name, *attribution)


class _Method(Protocol):
    def attributed(self, rows: Rows) -> Attribution: ...


def _method(graph: Graph, score: Score, manifest: Manifest) -> tuple[MethodName, _Method]:
    probes = [[0.0] * len(manifest.feature_names), *(probe.values for probe in manifest.probes)]
    try:
        summed = SummedScore(graph, score, np.array(probes, dtype=np.float32))
    except UnlikeError:
        return "sampled", SampledScore(graph, score, manifest)
    return ("linear" if isinstance(score.total, WeightedSum) else "tree_shap"), summed
