"""A graph tells how many training rows came to each node of its trees, which changes no score."""

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from services.training.estimators.calibrated import Calibrated
from services.training.estimators.export import export
from services.training.estimators.families import Spec, fit
from shared.models.session import OnnxModel
from tests.unit.training.estimators.scene import WIDTH, loaded, payments, spec

TREES = [spec("decision_tree"), spec("random_forest", class_weight="balanced"), spec("extra_trees")]
BOOSTING = spec("gradient_boosting")
every_kind = pytest.mark.parametrize("candidate", [*TREES, BOOSTING], ids=str)


def covers_in(content: bytes) -> list[npt.NDArray[np.float32]]:
    """Return the covers of each node with trees, of all its trees one behind the other."""
    attributes = (a for node in onnx.load_from_string(content).graph.node for a in node.attribute)
    return [np.array(each.floats, dtype=np.float32) for each in attributes if each.name == "nodes_hitrates"]


def trained(candidate: Spec) -> Calibrated:
    return fit(candidate, payments(400))


@pytest.mark.parametrize("candidate", TREES, ids=str)
def test_a_forest_is_exported_with_the_weights_of_the_rows_at_each_node(candidate: Spec) -> None:
    model = trained(candidate)
    classifier = model.estimator_[-1]
    trees = getattr(classifier, "estimators_", [classifier])
    (covers,) = covers_in(export(model, WIDTH))
    expected = np.concatenate([tree.tree_.weighted_n_node_samples for tree in trees])
    assert np.array_equal(covers, expected.astype(np.float32))


def test_boosting_is_exported_with_the_number_of_rows_at_each_node() -> None:
    model = trained(BOOSTING)
    (covers,) = covers_in(export(model, WIDTH))
    assert np.array_equal(covers, np.concatenate([tree.nodes["count"] for (tree,) in model.estimator_[-1]._predictors]))
    assert covers[0] == 400


@every_kind
def test_scores_are_the_same_bits_with_covers_and_without(candidate: Spec) -> None:
    model = trained(candidate)
    content = onnx.load_from_string(export(model, WIDTH))
    for node in content.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_hitrates":
                attribute.floats[:] = [1.0] * len(attribute.floats)
    whole = loaded(model)
    without = OnnxModel(whole.manifest, content.SerializeToString())
    rows = payments(2_000, seed=9).rows
    assert np.array_equal(whole.scores(rows), without.scores(rows))
    assert np.array_equal(whole.scores_alone(rows[:100]), without.scores_alone(rows[:100]))
