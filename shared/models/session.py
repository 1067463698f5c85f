"""ONNX models in memory: float32 rows in, probabilities of fraud out."""

import numpy as np
import numpy.typing as npt
import onnxruntime

from shared.models.manifest import Manifest


class OnnxModel:
    """A loaded, warmed model; safe to use from several threads."""

    def __init__(self, manifest: Manifest, onnx: bytes) -> None:
        """Load `onnx` and run it once.

        Raises:
            ValueError: the graph does not take the manifest's features.
        """
        options = onnxruntime.SessionOptions()
        # One thread: two triple the 99th percentile of a single row (docs/decisions/0001).
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.manifest = manifest
        self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        width = len(manifest.feature_names)
        try:
            scores = self.scores(np.zeros((1, width), dtype=np.float32))
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument as error:
            raise ValueError(f"the graph does not take {width} features: {error}") from error
        if not 0 <= scores[0] <= 1:
            raise ValueError(f"the graph's second output is not a probability: {scores[0]}")

    def scores(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probability of fraud of each row.

        rows: shape (n, features). Returns shape (n,).
        """
        # Graphs exported with zipmap off give labels, then probabilities of shape (n, 2).
        probabilities = self._session.run(None, {self._input: rows})[1]
        scores: npt.NDArray[np.float32] = probabilities[:, 1]
        return scores
