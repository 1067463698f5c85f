"""Which feature each column of a value inside a graph is made of."""

from shared.models.graph import Graph, attributes

SEVERAL = -1
"""In the place of a feature: the column is made of more than one."""

Columns = list[int]

_EACH_ELEMENT = frozenset(
    {"Abs", "Add", "Cast", "Clip", "Div", "Imputer", "LabelEncoder", "Log", "Mul", "Reshape", "Sign", "Sub"}
)
"""With constants as their other operands, these keep columns apart."""


def columns_of(graph: Graph, value: str, width: int) -> Columns:
    """Return for each column of `value` the feature that alone makes it, or SEVERAL.

    width: how many features a row has. What is made in a way that is not known here counts as one column of several
    features; whether there are as many columns as this says is the caller's to check.
    """
    known = {graph.rows: list(range(width))}
    waiting = [value]
    while waiting:
        asked = waiting[-1]
        node = graph.maker(asked)
        sources = [] if node is None else [source for source in node.input if not graph.is_constant(source)]
        missing = [source for source in sources if source not in known]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        if asked not in known:
            known[asked] = _made(graph, asked, [known[source] for source in sources])
    return known[value]


def _made(graph: Graph, value: str, sources: list[Columns]) -> Columns:
    node = graph.maker(value)
    if node is None:
        return [SEVERAL]
    axis = attributes(node)["axis"].i if "axis" in attributes(node) else None
    if (node.op_type == "ArrayFeatureExtractor" or (node.op_type == "Gather" and axis == 1)) and len(sources) == 1:
        return [sources[0][int(place)] for place in graph.constant(node.input[1]).ravel()]
    if node.op_type == "Concat" and axis == 1 and len(sources) == len(node.input):
        return [feature for source in sources for feature in source]
    if node.op_type in _EACH_ELEMENT and len(sources) == 1:
        return sources[0]
    if node.op_type == "Mul" and len(sources) == 2 and len(sources[0]) == len(sources[1]):
        return [left if left == right else SEVERAL for left, right in zip(*sources, strict=True)]
    return [SEVERAL]
