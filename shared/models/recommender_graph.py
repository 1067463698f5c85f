"""A recommender's ONNX graph, read: what it says of itself, and its tables, so that they stand in memory once.

Inputs: `items` int64 [L], positions of a history, the latest first, where L may be 0 and is at most what the longest
component counts; `weights` float32 [L]; `mask` bool [items], what may be shown; `segment` int64 [1]; `popularity`
float32 [1], 1 as trained, 0 without; `k` int64 [1], at most as many as there are items. Outputs: `top` int64 [k] and
`scores` float32 [k], best first, of equal scores the lower position first; what may not be shown scores -inf.

Tables: `<component>.neighbours` int32 and `<component>.strengths` float32, both of shape (items, width), and
`popularity.table` float32 of shape (segments + 1, items), filled up with zeros to whole blocks of items.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from msgspec import Struct
from onnx import TensorProto

from shared.models.recommender_file import taken_apart

METADATA_KEY = "headrace.recommender"
POPULARITY = "popularity.table"
BLOCK = 64
"""Items among which the best is sought first."""

Tables = Mapping[str, npt.NDArray[Any]]

_TYPES: Mapping[int, np.dtype[Any]] = {TensorProto.FLOAT: np.dtype(np.float32), TensorProto.INT32: np.dtype(np.int32)}


class GraphComponent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One component of the blend; score and letters are those of services/training/recommendation/recommender.py."""

    name: str
    weight: float
    decay: float
    length: int
    norm: float

    @property
    def neighbours(self) -> str:
        """Name of the table of each item's strongest neighbours."""
        return f"{self.name}.neighbours"

    @property
    def strengths(self) -> str:
        """Name of the table of how strong they are."""
        return f"{self.name}.strengths"


class GraphMetadata(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a graph says of itself, under METADATA_KEY.

    item_ids: position → id. segments: values of the user attribute `segment_attribute`, behind "everyone".
    kind_weights: what an interaction of each kind counts. half_life_seconds: after which it counts half.
    """

    item_ids: list[str]
    components: list[GraphComponent]
    popularity_weight: float
    segments: list[str]
    segment_attribute: str | None
    kind_weights: dict[str, float]
    half_life_seconds: float | None


class RecommenderGraph(NamedTuple):
    """A graph in parts.

    outline: the graph, its tables only declared. tables: by name; read-only.
    """

    outline: bytes
    tables: Tables
    metadata: GraphMetadata


def read(content: bytes) -> RecommenderGraph:
    """Return the parts of the bytes of an ONNX file; besides `content` the tables stand in memory once.

    Other threads go on meanwhile.

    Raises:
        ValueError: they are no recommender's graph; the message says what is missing.
    """
    try:
        outline, constants = taken_apart(content)
        model = onnx.load_from_string(outline)
    except (ValueError, DecodeError) as error:
        raise ValueError(f"these {len(content)} bytes are no ONNX graph: {error}") from error
    metadata = _metadata(model)
    tables: dict[str, npt.NDArray[Any]] = {}
    wanted = {POPULARITY, *(name for part in metadata.components for name in (part.neighbours, part.strengths))}
    for constant, values in zip(model.graph.initializer, constants, strict=True):
        if values is not None and constant.name in wanted:
            tables[constant.name] = _table(constant, values)
            _declare(constant)
        elif values is not None:
            constant.raw_data = bytes(values)
    _check(metadata, tables)
    return RecommenderGraph(model.SerializeToString(), tables, metadata)


def _metadata(model: onnx.ModelProto) -> GraphMetadata:
    found = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY not in found:
        raise ValueError(f"the graph is no recommender's: its metadata has no {METADATA_KEY!r}")
    try:
        return msgspec.json.decode(found[METADATA_KEY], type=GraphMetadata)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the graph's metadata {METADATA_KEY!r} cannot be read: {error}") from error


def _table(constant: TensorProto, values: memoryview) -> npt.NDArray[Any]:
    dtype, shape = _TYPES.get(constant.data_type), tuple(constant.dims)
    if dtype is None or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(
            f"the graph's table {constant.name!r} of shape {shape} has {len(values)} bytes of ONNX's type "
            f"{constant.data_type}, and should be float32 or int32; export the model again"
        )
    # Copied by numpy, which lets other threads run; in the file the numbers need not be aligned.
    table: npt.NDArray[Any] = np.frombuffer(values, dtype=np.uint8).copy().view(dtype).reshape(shape)
    table.setflags(write=False)
    return table


def _declare(constant: TensorProto) -> None:
    """Let a constant's values be given when the graph is loaded."""
    constant.data_location = TensorProto.EXTERNAL
    entry = constant.external_data.add()
    entry.key, entry.value = "location", "given"


def _check(metadata: GraphMetadata, tables: Tables) -> None:
    """Refuse tables that do not fit each other: compiled arithmetic reads them without looking."""
    items = len(metadata.item_ids)
    if not items:
        raise ValueError("the graph recommends nothing: it has no items")
    _check_table(tables, POPULARITY, np.float32, (len(metadata.segments) + 1, -(-items // BLOCK) * BLOCK))
    for component in metadata.components:
        width = tables[component.neighbours].shape[-1] if component.neighbours in tables else 0
        _check_table(tables, component.neighbours, np.int32, (items, width))
        _check_table(tables, component.strengths, np.float32, (items, width))


def _check_table(tables: Tables, name: str, dtype: type[np.generic], shape: tuple[int, int]) -> None:
    table = tables.get(name)
    if table is None or table.dtype != dtype or table.shape != shape:
        found = "is missing" if table is None else f"is {table.dtype} {table.shape}"
        raise ValueError(f"the graph's table {name!r} {found}, not {np.dtype(dtype)} {shape}; export the model again")
