"""Graphs that training does not export in this way are explained too, or refused; never explained wrongly."""

import numpy as np
import onnx
import pytest
from scipy.special import logit

from services.scoring.explanation.explainer import Explainer
from services.training.estimators.export import export
from services.training.estimators.transfer import SegmentSpecialist
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Probe, Reference
from shared.models.session import OnnxModel
from tests.models import manifest_of, onnx_bytes
from tests.unit.scoring.explanation.explained import TREES, graph_of, trained, whole_payments
from tests.unit.scoring.explanation.explained import manifest_of as scene_manifest
from tests.unit.scoring.scoring_scene import AMOUNT, large_amounts_are_fraud
from tests.unit.training.estimators.scene import CHANNEL, WIDTH, spec

BOOSTING = TREES[0]


def changed(content: bytes, attribute: str, values: list[int] | list[float]) -> bytes:
    """Return a graph with other values in an attribute of the node that holds its trees."""
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        for each in node.attribute:
            if each.name == attribute:
                node.attribute.remove(each)
        if node.op_type.startswith("TreeEnsemble"):
            node.attribute.append(onnx.helper.make_attribute(attribute, values))
    whole: bytes = model.SerializeToString()
    return whole


def test_a_forest_without_calibration_or_preparation_is_explained_exactly() -> None:
    manifest = manifest_of(1, feature_names=FRAUD.feature_names)
    values = [0.0] * len(FRAUD.features)
    values[AMOUNT] = 90_000.0
    told = Explainer(manifest, large_amounts_are_fraud(50_000)).explain(values)
    assert told.method == "tree_shap"
    assert np.flatnonzero(told.contributions).tolist() == [AMOUNT]
    assert told.base + told.contributions[AMOUNT] == pytest.approx(told.logit)


def test_a_graph_that_fills_no_gaps_is_compared_with_the_middle_of_what_training_met() -> None:
    references = {
        "amount": Reference(edges=[10.0, 20.0, 30.0], fractions=[0.25, 0.2, 0.1, 0.45]),
        "count": Reference(codes=[3, 7], fractions=[0.2, 0.7, 0.1]),
    }
    manifest = manifest_of(1, references=references)
    told = Explainer(manifest, onnx_bytes()).explain([300.0, 5.0, 1.0])
    scores = OnnxModel(manifest, onnx_bytes()).scores(np.array([[30, 7, 0], [300, 5, 1]], dtype=np.float32))
    assert told.method == "sampled"
    assert (told.base, told.logit) == pytest.approx(logit(scores.astype(np.float64)).tolist(), abs=1e-6)
    assert told.contributions == pytest.approx([told.logit - told.base, 0, 0], abs=1e-6)


def test_two_models_in_one_graph_are_explained_by_sampling() -> None:
    both = SegmentSpecialist(trained(BOOSTING), trained(spec("logistic_l2")), feature=CHANNEL, code=1)
    explainer = Explainer(scene_manifest(BOOSTING), export(both, WIDTH))
    model = OnnxModel(scene_manifest(BOOSTING), export(both, WIDTH))
    for row in whole_payments(10):
        told = explainer.explain(row.tolist())
        assert told.method == "sampled"
        assert told.base + told.contributions.sum() == pytest.approx(told.logit)
        assert told.logit == pytest.approx(float(logit(np.float64(model.scores(row[np.newaxis])[0]))), abs=1e-4)


def test_trees_whose_sum_is_changed_are_explained_by_sampling() -> None:
    content = changed(graph_of(BOOSTING), "base_values", [0.5])
    assert Explainer(scene_manifest(BOOSTING), content).explain(whole_payments()[0].tolist()).method == "sampled"


def test_trees_that_are_not_what_the_graph_makes_of_them_are_refused() -> None:
    large = Probe(values=[90_000.0 if at == AMOUNT else 0.0 for at in range(len(FRAUD.features))], score=1.0)
    manifest = manifest_of(1, feature_names=FRAUD.feature_names, probes=[large])
    three_classes = changed(large_amounts_are_fraud(50_000), "classlabels_int64s", [0, 1, 2])
    with pytest.raises(ValueError, match="adds up to log odds of"):
        Explainer(manifest, three_classes)


def test_a_graph_that_is_no_classifiers_is_refused() -> None:
    model = onnx.load_from_string(graph_of(BOOSTING))
    del model.graph.output[1:]
    with pytest.raises(ValueError, match="makes labels and probabilities"):
        Explainer(scene_manifest(BOOSTING), model.SerializeToString())
