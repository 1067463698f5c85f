"""BentoML and onnxruntime, as BentoML's guide for ONNX puts them together; MODEL names the model's file."""

import os
from typing import Annotated

import bentoml  # type: ignore[import-not-found]
import numpy as np
import numpy.typing as npt
import onnxruntime
from bentoml.validators import DType, Shape  # type: ignore[import-not-found]

WIDTH = 64


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class FraudScores:
    """Scores rows of features."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    @bentoml.api  # type: ignore[untyped-decorator]
    async def score(self, rows: Annotated[npt.NDArray[np.float32], Shape((1, WIDTH)), DType("float32")]) -> list[float]:
        """Return each row's probability of fraud."""
        scores: list[float] = self._session.run(None, {self._input: rows})[1][:, 1].tolist()
        return scores
