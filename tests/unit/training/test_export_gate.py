"""The export gate passes a faithful export and stops a changed one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from services.training.candidate import Candidate, make_candidate
from services.training.dataset import TrainingSet, read_training_set
from services.training.encoding import raw_columns
from services.training.export import export
from services.training.gates import BOUND, check_export
from services.training.refusal import RefusedError
from shared.features.catalog.fraud import FRAUD, HANDBOOK
from shared.features.definitions import Category, FeatureSet, Field
from shared.models.manifest import Manifest
from shared.models.session import OnnxModel
from tests.unit.training.training_scene import AMOUNT, archive, settings, world

MCC_AMONG_CATEGORIES = FRAUD.categories.index(FRAUD.features.index(Category(Field.MCC)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingSet, Candidate]:
    home = tmp_path_factory.mktemp("home")
    kept = archive(home)
    kept.write(world(days=12).deliveries())
    chosen = settings(home)
    data = read_training_set(kept, FRAUD, chosen)
    return data, make_candidate(data, chosen)


def handbook_data() -> TrainingSet:
    rng = np.random.default_rng(0)
    rows = rng.gamma(2.0, 20.0, (1_000, len(HANDBOOK.features))).astype(np.float32)
    return TrainingSet(
        feature_set=HANDBOOK,
        rows=rows,
        frauds=(rows[:, AMOUNT] > 80).astype(np.int8),
        times=np.arange(len(rows), dtype=np.int64),
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
    )


def loaded(candidate: Candidate, content: bytes, feature_set: FeatureSet = FRAUD) -> OnnxModel:
    manifest = Manifest(
        model_name="fraud",
        model_version=1,
        model_digest="",
        feature_set=feature_set.name,
        feature_version=feature_set.version,
        feature_names=feature_set.feature_names,
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
    model = loaded(candidate, export(candidate.model))
    assert check_export(model, candidate.model, data, candidate.held_out) <= BOUND


def test_the_same_payments_give_the_same_file(trained: tuple[TrainingSet, Candidate], tmp_path: Path) -> None:
    data, candidate = trained
    again = make_candidate(data, settings(tmp_path))
    assert export(again.model) == export(candidate.model)


@pytest.mark.parametrize("position", [0, -1])
def test_a_threshold_moved_by_a_hair_is_refused_and_its_feature_named(
    trained: tuple[TrainingSet, Candidate], position: int
) -> None:
    data, candidate = trained
    model, attributes = trees(export(candidate.model))
    features, thresholds = attributes["nodes_featureids"].ints, attributes["nodes_values"].floats
    column = raw_columns(candidate.model).tolist().index(AMOUNT)
    telling = [at for at, value in enumerate(thresholds) if features[at] == column and 200 < value < 300]
    thresholds[telling[position]] *= 1 + 1e-6
    with pytest.raises(RefusedError, match=r"split thresholds: feature amount;") as refused:
        check_export(loaded(candidate, model.SerializeToString()), candidate.model, data, candidate.held_out)
    assert refused.value.code == "export_gate"


@pytest.mark.parametrize("change", ["a rate", "two rates exchanged", "the unseen"])
def test_a_changed_encoding_is_refused_and_its_feature_named(
    trained: tuple[TrainingSet, Candidate], change: str
) -> None:
    data, candidate = trained
    model = onnx.load_from_string(export(candidate.model))
    encoders = [node for node in model.graph.node if node.op_type == "LabelEncoder"]
    attributes = {attribute.name: attribute for attribute in encoders[MCC_AMONG_CATEGORIES].attribute}
    rates = attributes["values_floats"].floats
    highest, lowest = int(np.argmax(rates)), int(np.argmin(rates))
    if change == "a rate":
        rates[highest] = rates[lowest]
    elif change == "two rates exchanged":
        rates[highest], rates[lowest] = rates[lowest], rates[highest]
    else:
        attributes["default_float"].f = rates[highest]
    with pytest.raises(RefusedError, match=r"feature mcc;"):
        check_export(loaded(candidate, model.SerializeToString()), candidate.model, data, candidate.held_out)


def test_features_without_a_category_pass_the_gate(tmp_path: Path) -> None:
    data = handbook_data()
    candidate = make_candidate(data, settings(tmp_path))
    model = loaded(candidate, export(candidate.model), HANDBOOK)
    assert check_export(model, candidate.model, data, candidate.held_out) <= BOUND


def test_a_changed_leaf_is_refused(trained: tuple[TrainingSet, Candidate]) -> None:
    data, candidate = trained
    model, attributes = trees(export(candidate.model))
    weights = attributes["class_weights"].floats
    weights[len(weights) // 2] += 0.001
    with pytest.raises(RefusedError, match="differs from the scikit-learn model"):
        check_export(loaded(candidate, model.SerializeToString()), candidate.model, data, candidate.held_out)


def test_a_model_that_answers_no_number_is_refused(trained: tuple[TrainingSet, Candidate]) -> None:
    data, candidate = trained
    model, attributes = trees(export(candidate.model))
    weights = attributes["class_weights"].floats
    weights[len(weights) - 1] = float("nan")
    with pytest.raises(RefusedError, match="nan"):
        check_export(loaded(candidate, model.SerializeToString()), candidate.model, data, candidate.held_out)
