"""The export gate passes a faithful export and stops a changed one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx
import pytest

from services.training.candidate import Candidate, make_candidate
from services.training.dataset import TrainingSet, read_training_set
from services.training.export import export
from services.training.gates import BOUND, check_export
from services.training.refusal import RefusedError
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Manifest
from shared.models.session import OnnxModel
from tests.unit.training.training_scene import AMOUNT, archive, settings, world


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingSet, Candidate]:
    home = tmp_path_factory.mktemp("home")
    kept = archive(home)
    kept.write(world(days=12).deliveries())
    chosen = settings(home)
    data = read_training_set(kept, FRAUD, chosen)
    return data, make_candidate(data, chosen)


def loaded(candidate: Candidate, content: bytes) -> OnnxModel:
    manifest = Manifest(
        model_name="fraud",
        model_version=1,
        model_digest="",
        feature_set=FRAUD.name,
        feature_version=FRAUD.version,
        feature_names=FRAUD.feature_names,
        estimator="",
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
        data_digest="",
        training_rows=1,
        metrics={},
        thresholds=candidate.thresholds,
        references={},
    )
    return OnnxModel(manifest, content)


def trees(content: bytes) -> tuple[Any, dict[str, Any]]:
    model = onnx.load_from_string(content)
    (node,) = (node for node in model.graph.node if node.op_type == "TreeEnsembleClassifier")
    return model, {attribute.name: attribute for attribute in node.attribute}


def test_a_faithful_export_agrees_within_the_bound(trained: tuple[TrainingSet, Candidate]) -> None:
    data, candidate = trained
    model = loaded(candidate, export(candidate.forest))
    assert check_export(model, candidate.forest, data, candidate.held_out) <= BOUND


def test_the_same_payments_give_the_same_file(trained: tuple[TrainingSet, Candidate], tmp_path: Path) -> None:
    data, candidate = trained
    again = make_candidate(data, settings(tmp_path))
    assert export(again.forest) == export(candidate.forest)


@pytest.mark.parametrize("position", [0, -1])
def test_a_threshold_moved_by_a_hair_is_refused_and_its_feature_named(
    trained: tuple[TrainingSet, Candidate], position: int
) -> None:
    data, candidate = trained
    model, attributes = trees(export(candidate.forest))
    features, thresholds = attributes["nodes_featureids"].ints, attributes["nodes_values"].floats
    telling = [at for at, value in enumerate(thresholds) if features[at] == AMOUNT and 200 < value < 300]
    thresholds[telling[position]] *= 1 + 1e-6
    with pytest.raises(RefusedError, match=r"split thresholds: feature amount;") as refused:
        check_export(loaded(candidate, model.SerializeToString()), candidate.forest, data, candidate.held_out)
    assert refused.value.code == "export_gate"


def test_a_changed_leaf_is_refused(trained: tuple[TrainingSet, Candidate]) -> None:
    data, candidate = trained
    model, attributes = trees(export(candidate.forest))
    weights = attributes["class_weights"].floats
    weights[len(weights) // 2] += 0.001
    with pytest.raises(RefusedError, match="differs from the scikit-learn model"):
        check_export(loaded(candidate, model.SerializeToString()), candidate.forest, data, candidate.held_out)


def test_a_model_that_answers_no_number_is_refused(trained: tuple[TrainingSet, Candidate]) -> None:
    data, candidate = trained
    model, attributes = trees(export(candidate.forest))
    weights = attributes["class_weights"].floats
    weights[len(weights) - 1] = float("nan")
    with pytest.raises(RefusedError, match="nan"):
        check_export(loaded(candidate, model.SerializeToString()), candidate.forest, data, candidate.held_out)
