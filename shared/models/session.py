"""ONNX models in memory; of those that score payments: float32 rows in, probabilities of fraud out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from shared.models.manifest import Manifest

PROBE_BOUND = 1e-6
"""By how much a probe may score otherwise than where the model was made: processors round differently."""

# What onnxruntime raises has no base of its own; a graph with too few outputs is an IndexError.
TROUBLES: tuple[type[Exception], ...] = (
    IndexError,
    *(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)


def opened(onnx: bytes, tables: Mapping[str, npt.NDArray[Any]] | None = None) -> onnxruntime.InferenceSession:
    """Return a session that runs a graph on one thread; raises one of TROUBLES where onnxruntime does not take it.

    tables: by name, constants that the graph only declares. The session reads them where they are, and keeps them.
    """
    options = onnxruntime.SessionOptions()
    given = {name: onnxruntime.OrtValue.ortvalue_from_numpy(table) for name, table in (tables or {}).items()}
    if given:
        # The first alone would copy, the second alone look for a file.
        options.add_external_initializers(list(given), list(given.values()))
        for name, value in given.items():
            options.add_initializer(name, value)
    # One thread: two triple the 99th percentile of a single row (docs/decisions/0001).
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    session.tables = given  # whose memory must outlive it
    return session


class OnnxModel:
    """A loaded, checked model; safe to use from several threads."""

    def __init__(self, manifest: Manifest, onnx: bytes) -> None:
        """Load `onnx`, run it once, and score the manifest's probes.

        Raises:
            ValueError: the graph cannot be run, does not take the manifest's features, gives no probabilities, or
                scores a probe otherwise than where the model was made.
        """
        self.manifest = manifest
        width = len(manifest.feature_names)
        try:
            self._session = opened(onnx)
            self._input = self._session.get_inputs()[0].name
            score = self.scores(np.zeros((1, width), dtype=np.float32))[0]
        except TROUBLES as error:
            raise ValueError(f"the graph does not turn {width} features into probabilities: {error}") from error
        if not 0 <= score <= 1:
            raise ValueError(f"the graph's second output is not a probability: {score}")
        self._check_probes(width)

    def scores(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probability of fraud of each row.

        rows: shape (n, features). Returns shape (n,).
        """
        # Graphs exported with zipmap off give labels, then probabilities of shape (n, 2).
        probabilities = self._session.run(None, {self._input: rows})[1]
        scores: npt.NDArray[np.float32] = probabilities[:, 1]
        return scores

    def scores_alone(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the same as `scores`, each row run by itself: its bits do not depend on the rows beside it."""
        return np.array([self.scores(row[np.newaxis])[0] for row in rows], dtype=np.float32)

    def _check_probes(self, width: int) -> None:
        for number, probe in enumerate(self.manifest.probes, start=1):
            told = f"probe {number} of {len(self.manifest.probes)}"
            if len(probe.values) != width:
                raise ValueError(
                    f"{told} has {len(probe.values)} values for {width} features; register the model again"
                )
            score = float(self.scores(np.array([probe.values], dtype=np.float32))[0])
            if not abs(score - probe.score) <= PROBE_BOUND:
                raise ValueError(
                    f"{told} scores {score:.9g} here and scored {probe.score:.9g} where the model was made; "
                    "install the onnxruntime that training has, or train again"
                )
