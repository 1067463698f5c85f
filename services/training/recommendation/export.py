"""From a recommender to one ONNX graph; inputs, outputs and tables: shared/models/recommender_graph.py.

Nothing is made dense: a history's rows are taken out of the tables, weighed, and added at the items they name. The best
are sought in the BLOCK-sized parts of the catalogue whose best are best: TopK by itself takes ten times as long where
later items score higher.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from services.training.recommendation.recommender import Component, Recommender
from shared.models.recommender_graph import BLOCK, METADATA_KEY, POPULARITY, GraphComponent, GraphMetadata

OPSET = 20
IR_VERSION = 10
"""Pinned with OPSET, so that the same model gives the same file whichever version of onnx is installed."""

_HIDDEN = 3e38
"""Taken off the score of what may not be shown, which is cheaper for all items than -inf; the best k get that."""
_TOTAL_MIN = 1e-100
"""Stands for a history's weight where that is 0; below whatever float32 weights, decayed, can sum to."""


def export(recommender: Recommender) -> bytes:
    """Return `recommender` as one ONNX graph; the same recommender gives the same bytes.

    Raises:
        ValueError: it has no items, its tables do not fit them, or two components have one name.
    """
    _check(recommender)
    graph = _Nodes()
    scores = _without_history(graph, recommender)
    if recommender.components:
        scores = _with_history(graph, scores, recommender.components)
    _best(graph, scores, blocks=_padded(len(recommender.item_ids)) // BLOCK)
    return _serialized(graph, recommender)


class _Nodes:
    """Nodes and constants as they come together; values are named by what makes them, and in which order."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output; return the output's name."""
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def output(self, name: str, kind: str, *inputs: str) -> None:
        """Add the node that makes an output of the graph."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name]))

    def top(self, values: str, count: str, *, largest: int) -> tuple[str, str]:
        """Add the node that sorts out the first `count`; return the names of the values and of their places."""
        names = f"values_{len(self.nodes)}", f"places_{len(self.nodes)}"
        self.nodes.append(helper.make_node("TopK", [values, count], names, axis=0, largest=largest, sorted=1))
        return names

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Have a constant, once whatever asks for it; return its name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def whole(self, *numbers: int) -> str:
        """Have a constant of whole numbers; return its name."""
        return self.constant("int64_" + "_".join(map(str, numbers)), np.array(numbers, dtype=np.int64))


def _without_history(graph: _Nodes, recommender: Recommender) -> str:
    """Return what popularity gives each item, less _HIDDEN where it may not be shown: float32 [items, padded]."""
    items = len(recommender.item_ids)
    padding = _padded(items) - items
    popularity = np.pad(recommender.popularity.astype(np.float32), ((0, 0), (0, padding)))
    rows = graph.add("Gather", graph.constant(POPULARITY, popularity), "segment", axis=0)
    weight = graph.constant("popularity.weight", np.array([[recommender.popularity_weight]], dtype=np.float32))
    shown = graph.add("Cast", "mask", to=TensorProto.UINT8)
    if padding:
        shown = graph.add("Pad", shown, graph.whole(0, padding))
    hidden = graph.constant("hidden", np.float32(_HIDDEN)), graph.constant("shown", np.uint8(1))
    less = graph.add("DequantizeLinear", shown, *hidden)
    scores = graph.add("Gemm", graph.add("Mul", weight, "popularity"), rows, less)
    return graph.add("Squeeze", scores, graph.whole(0))


def _with_history(graph: _Nodes, base: str, components: Sequence[Component]) -> str:
    """Return `base` plus what a history adds to each item."""
    lengths = [component.length for component in components]
    shares = _shares(graph, components)
    places, added = [], []
    for component, share in zip(components, shares, strict=True):
        rows, of_rows = "items", share
        if component.length < max(lengths):
            first = (graph.whole(0), graph.whole(component.length), graph.whole(0))
            rows, of_rows = graph.add("Slice", "items", *first), graph.add("Slice", share, *first)
        neighbours = graph.constant(_outline(component).neighbours, component.neighbours.items.astype(np.int32))
        strengths = graph.constant(_outline(component).strengths, component.neighbours.strengths.astype(np.float32))
        flat = graph.whole(-1)
        places.append(graph.add("Reshape", graph.add("Gather", neighbours, rows, axis=0), flat))
        weighed = graph.add("Mul", graph.add("Gather", strengths, rows, axis=0), of_rows)
        added.append(graph.add("Reshape", weighed, flat))
    at, what = (each[0] if len(each) == 1 else graph.add("Concat", *each, axis=0) for each in (places, added))
    return graph.add("ScatterElements", base, at, what, axis=0, reduction="add")


def _shares(graph: _Nodes, components: Sequence[Component]) -> list[str]:
    """Return weight_c * a_ck of the formula for each component: float32 [L, 1].

    In float64, of which there are few: what is old weighs next to nothing, and float32 would lose it in the division.
    """
    longest = max(component.length for component in components)
    steps = np.arange(longest)[:, np.newaxis]
    decays = np.array([component.decay for component in components]) ** steps
    counts = steps < np.array([component.length for component in components])
    count = graph.add("Shape", "items")
    first = (graph.whole(0), count, graph.whole(0))
    decayed = graph.add("Slice", graph.constant("decays", np.where(counts, decays, 0.0)), *first)
    weights = graph.add("Unsqueeze", graph.add("Cast", "weights", to=TensorProto.DOUBLE), graph.whole(1))
    shares = graph.add("Mul", decayed, weights)
    scale = graph.constant("weights_of_components", np.array([[component.weight for component in components]]))
    if any(component.norm for component in components):
        norms = graph.constant("norms", np.array([[component.norm for component in components]]))
        total = graph.add("ReduceSum", shares, graph.whole(0), keepdims=1)
        total = graph.add("Max", total, graph.constant("total_min", np.array([[_TOTAL_MIN]])))
        scale = graph.add("Div", scale, graph.add("Pow", total, norms))
    rounded = graph.add("Cast", graph.add("Mul", shares, scale), to=TensorProto.FLOAT)
    if len(components) == 1:
        return [rounded]
    names = [f"share_{at}" for at in range(len(components))]
    graph.nodes.append(helper.make_node("Split", [rounded], names, axis=1, num_outputs=len(names)))
    return names


def _best(graph: _Nodes, scores: str, *, blocks: int) -> None:
    """Make the outputs from the score of each item.

    A block that holds one of the best k is one of the k blocks with the best maxima. They stay in order, so that of
    equal scores the lower position comes first.
    """
    size = graph.whole(BLOCK)
    by_block = graph.add("Reshape", scores, graph.whole(-1, BLOCK))
    maxima = graph.add("ReduceMax", by_block, graph.whole(1), keepdims=0)
    count = graph.add("Min", "k", graph.whole(blocks))
    _, best_blocks = graph.top(maxima, count, largest=1)
    in_order, _ = graph.top(best_blocks, count, largest=0)
    candidates = graph.add("Reshape", graph.add("Gather", by_block, in_order, axis=0), graph.whole(-1))
    best, places = graph.top(candidates, "k", largest=1)
    begins = graph.add("Mul", graph.add("Gather", in_order, graph.add("Div", places, size), axis=0), size)
    graph.output("top", "Add", begins, graph.add("Mod", places, size))
    is_hidden = graph.add("Less", best, graph.constant("hidden_above", np.float32(-_HIDDEN / 2)))
    graph.output("scores", "Where", is_hidden, graph.constant("minus_infinity", np.float32(-np.inf)), best)


def _padded(items: int) -> int:
    return -(-items // BLOCK) * BLOCK


def _outline(component: Component) -> GraphComponent:
    return GraphComponent(
        name=component.name,
        weight=component.weight,
        decay=component.decay,
        length=component.length,
        norm=component.norm,
    )


def _serialized(graph: _Nodes, recommender: Recommender) -> bytes:
    metadata = GraphMetadata(
        item_ids=list(recommender.item_ids),
        components=[_outline(component) for component in recommender.components],
        popularity_weight=recommender.popularity_weight,
        segments=list(recommender.segments),
        segment_attribute=recommender.segment_attribute,
        kind_weights=recommender.kind_weights,
        half_life_seconds=recommender.half_life_seconds,
    )
    given: dict[str, tuple[int, list[Any]]] = {
        "items": (TensorProto.INT64, ["history"]),
        "weights": (TensorProto.FLOAT, ["history"]),
        "mask": (TensorProto.BOOL, [len(recommender.item_ids)]),
        "segment": (TensorProto.INT64, [1]),
        "popularity": (TensorProto.FLOAT, [1]),
        "k": (TensorProto.INT64, [1]),
    }
    made = {"top": TensorProto.INT64, "scores": TensorProto.FLOAT}
    content = helper.make_graph(
        graph.nodes,
        "headrace",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in given.items()],
        [helper.make_tensor_value_info(name, kind, ["k"]) for name, kind in made.items()],
        list(graph.constants.values()),
    )
    model: ModelProto = helper.make_model(
        content, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="headrace"
    )
    helper.set_model_props(model, {METADATA_KEY: msgspec.json.encode(metadata, order="sorted").decode()})
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def _check(recommender: Recommender) -> None:
    items = len(recommender.item_ids)
    if not items:
        raise ValueError("a recommender without items cannot be exported")
    if recommender.popularity.shape != (len(recommender.segments) + 1, items):
        raise ValueError(
            f"popularity has shape {recommender.popularity.shape}, not {(len(recommender.segments) + 1, items)}: "
            "a row for everyone and one for each segment"
        )
    names = [component.name for component in recommender.components]
    if len(set(names)) < len(names):
        raise ValueError(f"components must have names of their own: {names}")
    for component in recommender.components:
        neighbours, strengths = component.neighbours
        if not len(neighbours) == len(strengths) == items or neighbours.shape != strengths.shape:
            raise ValueError(
                f"component {component.name} has neighbours {neighbours.shape} and strengths {strengths.shape} "
                f"for {items} items"
            )
        if neighbours.size and not 0 <= neighbours.min() <= neighbours.max() < items:
            raise ValueError(f"component {component.name} names neighbours beyond the {items} items")
