"""The champion's own graph with another line on its log odds, and nothing else."""

import numpy as np
import onnx
from onnx import numpy_helper

from services.training.estimators.calibrated import Calibration
from services.training.refusal import RefusedError
from shared.models.graph import Graph, UnlikeError


def on_line(content: bytes, line: Calibration) -> bytes:
    """Return an exported graph (services/training/estimators/conversion.py) whose log odds are moved by `line`.

    A model with a specialist has two lines, which are both moved.

    Raises:
        RefusedError: no_line: the graph was not exported by this code.
    """
    graph, model = Graph(content), onnx.load_from_string(content)
    nodes = {value: node for node in model.graph.node for value in node.output}
    try:
        for stretched, shifted in _lines(graph, graph.probabilities):
            slope = graph.number(nodes[stretched].input[1])
            offset = graph.number(nodes[shifted].input[1])
            _set_number(model, nodes[stretched], line.slope * slope)
            _set_number(model, nodes[shifted], line.slope * offset + line.intercept)
    except UnlikeError as error:
        raise RefusedError("no_line", f"the model's graph holds no calibration line: {error}; train it anew") from error
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed


def _lines(graph: Graph, probabilities: str) -> list[tuple[str, str]]:
    """Return for each line the values of log odds times slope, and of these plus offset."""
    maker = graph.maker(probabilities)
    if maker is not None and maker.op_type == "Where":
        _, special, others = graph.inputs(probabilities, "Where", 3)
        return [*_lines(graph, special), *_lines(graph, others)]
    _, frauds = graph.inputs(probabilities, "Concat", 2)
    (odds,) = graph.inputs(frauds, "Reciprocal", 1)
    odds_against, _ = graph.inputs(odds, "Add", 2)
    (negated,) = graph.inputs(odds_against, "Exp", 1)
    (shifted,) = graph.inputs(negated, "Neg", 1)
    stretched, _ = graph.inputs(shifted, "Add", 2)
    clipped, _ = graph.inputs(stretched, "Mul", 2)
    graph.node(clipped, "Clip")
    return [(stretched, shifted)]


def _set_number(model: onnx.ModelProto, node: onnx.NodeProto, number: float) -> None:
    """Give `node` another second input; a constant that other nodes read stays as it is."""
    name = node.input[1]
    constants = {constant.name: constant for constant in model.graph.initializer}
    changed = numpy_helper.from_array(np.float32(number).reshape(constants[name].dims), name)
    if sum(list(other.input).count(name) for other in model.graph.node) == 1:
        constants[name].CopyFrom(changed)
        return
    while changed.name in constants:
        changed.name += "_recalibrated"
    node.input[1] = changed.name
    model.graph.initializer.append(changed)
