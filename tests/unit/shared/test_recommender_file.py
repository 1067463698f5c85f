"""A large ONNX file taken apart in place: nothing is lost, and what is no such file is told."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from services.training.recommendation.export import export
from shared.models.recommender_file import taken_apart
from shared.models.recommender_graph import read
from tests.models import onnx_bytes
from tests.recommenders import component, recommender

CONTENT = export(recommender())


def put_together(content: bytes) -> onnx.ModelProto:
    outline, constants = taken_apart(content)
    model = onnx.load_from_string(outline)
    for constant, values in zip(model.graph.initializer, constants, strict=True):
        if values is not None:
            constant.raw_data = bytes(values)
    return model


@pytest.mark.parametrize("content", [CONTENT, onnx_bytes()])
def test_the_parts_are_the_whole(content: bytes) -> None:
    assert put_together(content) == onnx.load_from_string(content)


def test_constants_that_keep_their_values_otherwise_stay_where_they_are() -> None:
    typed = helper.make_tensor("typed", TensorProto.FLOAT, [2], [1.0, 2.0])
    raw = numpy_helper.from_array(np.arange(3), "raw")
    graph = helper.make_graph([], "graph", [], [], [typed, raw])
    content = helper.make_model(graph).SerializeToString()
    assert [values is None for values in taken_apart(content).constants] == [True, False]
    assert put_together(content) == onnx.load_from_string(content)


def test_tables_are_read_as_they_were_written_wherever_they_lie_in_the_file() -> None:
    for name in ("a", "ab", "abc", "abcd"):
        made = replace(recommender(), components=(component(name, 150),))
        tables = read(export(made)).tables
        neighbours = tables[f"{name}.neighbours"]
        np.testing.assert_array_equal(neighbours, made.components[0].neighbours.items)
        np.testing.assert_array_equal(tables[f"{name}.strengths"], made.components[0].neighbours.strengths)
        assert neighbours.flags.aligned
        assert not neighbours.flags.writeable


@given(st.integers(0, len(CONTENT) - 1))
def test_a_file_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"no ONNX graph|no recommender's"):
        read(CONTENT[:length])


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"no ONNX graph|no recommender's"):
        read(content)


@pytest.mark.parametrize(("data_type", "dims"), [(TensorProto.DOUBLE, [150, 2]), (TensorProto.INT32, [150, 3])])
def test_a_table_of_another_type_or_size_is_refused_by_name(data_type: int, dims: list[int]) -> None:
    model = onnx.load_from_string(CONTENT)
    (table,) = (each for each in model.graph.initializer if each.name == "next.neighbours")
    table.data_type = data_type
    table.dims[:] = dims
    with pytest.raises(ValueError, match=r"table 'next.neighbours' .* export the model again"):
        read(model.SerializeToString())
