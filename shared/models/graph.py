"""An ONNX graph, read: what makes each value, which values are constant, and the part that makes given values."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

PROBABILITIES = 1
"""Place among a classifier's outputs, which begin with the labels."""


class UnlikeError(ValueError):
    """A value is not made in the way that was asked about."""


class Graph:
    """A graph whose nodes are named by what they make; a part that is not needed for the score is not looked at."""

    def __init__(self, content: bytes) -> None:
        """Read the bytes of an ONNX file.

        Raises:
            ValueError: they are no ONNX graph of a classifier.
        """
        try:
            self._model = onnx.load_from_string(content)
        except DecodeError as error:
            raise ValueError(f"these {len(content)} bytes are no ONNX graph: {error}") from error
        graph = self._model.graph
        if len(graph.input) != 1 or len(graph.output) <= PROBABILITIES:
            raise ValueError(
                f"a classifier's graph takes rows, and makes labels and probabilities; this one takes "
                f"{[given.name for given in graph.input]} and makes {[made.name for made in graph.output]}"
            )
        self.rows = graph.input[0].name
        self.probabilities = graph.output[PROBABILITIES].name
        self.fills_gaps = any(node.op_type == "Imputer" for node in graph.node)
        self._nodes: dict[str, onnx.NodeProto] = {value: node for node in graph.node for value in node.output}
        self._constants = {constant.name: constant for constant in graph.initializer}

    def node(self, value: str, kind: str) -> onnx.NodeProto:
        """Return the node that makes `value`.

        Raises:
            UnlikeError: that is not of this kind.
        """
        node = self._nodes.get(value)
        if node is None or node.op_type != kind:
            raise UnlikeError(f"{value} is not made by {kind}")
        return node

    def inputs(self, value: str, kind: str, count: int) -> list[str]:
        """Return what goes into the node that makes `value`.

        Raises:
            UnlikeError: that node is not of this kind, or takes more or fewer than `count`.
        """
        inputs = list(self.node(value, kind).input)
        if len(inputs) != count:
            raise UnlikeError(f"{value} is made of {len(inputs)} values, not of {count}")
        return inputs

    def maker(self, value: str) -> onnx.NodeProto | None:
        """Return the node that makes `value`; None for a constant, and for the rows."""
        return self._nodes.get(value)

    def is_constant(self, value: str) -> bool:
        """Return whether `value` is the same for all rows."""
        return value in self._constants

    def constant(self, value: str) -> npt.NDArray[np.float64]:
        """Return a constant.

        Raises:
            UnlikeError: it is none.
        """
        if value not in self._constants:
            raise UnlikeError(f"{value} is not constant")
        return numpy_helper.to_array(self._constants[value]).astype(np.float64)

    def number(self, value: str) -> float:
        """Return a constant of one element.

        Raises:
            UnlikeError: it is none.
        """
        constant = self.constant(value)
        if constant.size != 1:
            raise UnlikeError(f"{value} is not one number")
        return float(constant.item())

    def part(self, values: Sequence[str]) -> bytes:
        """Return the graph that makes `values`, float32 all, from the same rows."""
        whole = self._model.graph
        needed, waiting = set[int](), list(values)
        while waiting:
            node = self._nodes.get(waiting.pop())
            if node is not None and id(node) not in needed:
                needed.add(id(node))
                waiting += node.input
        nodes = [node for node in whole.node if id(self._nodes[node.output[0]]) in needed]
        used = {value for node in nodes for value in node.input}
        part = onnx.ModelProto(ir_version=self._model.ir_version, opset_import=self._model.opset_import)
        part.graph.name = whole.name
        part.graph.node.extend(nodes)
        part.graph.input.extend(whole.input)
        part.graph.initializer.extend(constant for name, constant in self._constants.items() if name in used)
        part.graph.output.extend(onnx.helper.make_tensor_value_info(v, onnx.TensorProto.FLOAT, None) for v in values)
        content: bytes = part.SerializeToString()
        return content


def attributes(node: onnx.NodeProto) -> Mapping[str, onnx.AttributeProto]:
    """Return a node's attributes by name."""
    return {attribute.name: attribute for attribute in node.attribute}
