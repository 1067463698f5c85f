"""Whether a graph scores a row to the same bits whatever rows stand beside it.

Most of its operators do the same arithmetic for every element. Some do not: they take several elements at once and what
is left over in another way, or choose their way by the number of rows, and round differently. Measured with onnxruntime
1.31 on AVX-512, a row alone against batches of 2 to 600, from 1 to 64 columns: Log, Softplus, LinearClassifier, and in
float64 Exp, Tanh and Sigmoid too give other last bits. MatMul and Gemm did not there, but have another kernel for one
row than for many.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from onnx import AttributeProto, TensorProto

_ROW_INDEPENDENT = frozenset(
    {
        # These move or compare numbers, or round every one correctly (IEEE 754).
        *("Abs", "Add", "ArrayFeatureExtractor", "Cast", "Clip", "Concat", "Div", "Equal", "Gather", "Greater"),
        *("Identity", "Imputer", "LabelEncoder", "Max", "Min", "Mul", "Neg", "Relu", "Reshape", "Round", "Scaler"),
        *("Sign", "Sqrt", "Sub", "Unsqueeze", "Where"),
        # In float32 they take what is left over by the same way.
        *("Exp", "Reciprocal"),
        # The logarithm of one number at a time.
        "ReduceLogSum",
        # Each row goes through the trees in their order.
        *("TreeEnsembleClassifier", "TreeEnsembleRegressor"),
    }
)


def is_row_independent(onnx: bytes) -> bool:
    """Tell whether every operator of an ONNX model is known to score a row alike in any batch.

    Raises:
        google.protobuf.message.DecodeError: these bytes are no protobuf message.
    """
    return all(
        node.op_type in _ROW_INDEPENDENT and not (node.op_type == "Cast" and _is_to_double(node))
        for node in _Outline.FromString(onnx).graph.node
    )


def _is_to_double(cast: Any) -> bool:
    return any(AttributeProto.FromString(attribute).i == TensorProto.DOUBLE for attribute in cast.attribute)


def _outline() -> Any:
    """Return the message type of a model whose nodes keep their attributes as bytes.

    Read in full, a forest of 7 MB would keep every other thread of a serving process waiting for 100 ms; so, for 1 ms.
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="outline.proto", package="headrace", syntax="proto2")
    model, graph, node = (file.message_type.add(name=name) for name in ("Model", "Graph", "Node"))
    # The numbers are those of onnx.proto.
    model.field.add(
        name="graph", number=7, type=field.TYPE_MESSAGE, type_name=".headrace.Graph", label=field.LABEL_OPTIONAL
    )
    graph.field.add(
        name="node", number=1, type=field.TYPE_MESSAGE, type_name=".headrace.Node", label=field.LABEL_REPEATED
    )
    node.field.add(name="op_type", number=4, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    node.field.add(name="attribute", number=5, type=field.TYPE_BYTES, label=field.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("headrace.Model"))


_Outline = _outline()
