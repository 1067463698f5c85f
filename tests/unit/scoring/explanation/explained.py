"""Models to explain: small, of every family, trained on the payments that training is tested with."""

import functools

import numpy as np
import numpy.typing as npt
import onnx

from services.scoring.explanation.explainer import Explainer
from services.training.estimators.calibrated import Calibrated
from services.training.estimators.export import export
from services.training.estimators.families import FAMILIES, Spec, fit
from shared.models.manifest import Manifest
from tests.unit.training.estimators.scene import WIDTH, Rows, loaded, payments, spec

TREES = [spec(family) for family in ("gradient_boosting", "random_forest", "extra_trees", "decision_tree")]
LINEAR = [spec(family) for family in ("logistic_l1", "logistic_l2")]
SAMPLED = [
    *(spec(family) for family in ("multilayer_perceptron", "soft_voting", "stacking")),
    *(spec(family) for family in ("isolation_forest", "segment_distance")),
    spec("random_forest", anomaly_features=True),
    spec("logistic_l2", anomaly_features=True),
]
WAYS: dict[Spec, str] = {
    **dict.fromkeys(TREES, "tree_shap"),
    spec("self_training"): "tree_shap",
    **dict.fromkeys(LINEAR, "linear"),
    **dict.fromkeys(SAMPLED, "sampled"),
}
assert {way.family for way in WAYS} == FAMILIES.keys()


@functools.cache
def trained(of: Spec) -> Calibrated:
    """Return a model whose calibration moves every score."""
    model = fit(of, payments(600))
    model.set_params(slope=0.8, intercept=-0.4)
    return model


@functools.cache
def graph_of(of: Spec) -> bytes:
    return export(trained(of), WIDTH)


@functools.cache
def manifest_of(of: Spec) -> Manifest:
    return loaded(trained(of)).manifest


@functools.cache
def explainer_of(of: Spec) -> Explainer:
    return Explainer(manifest_of(of), graph_of(of))


def whole_payments(count: int = 40) -> Rows:
    """Return payments without gaps, that no model here was trained on; the last is of codes never seen."""
    rows = payments(count, seed=3).rows
    whole: Rows = rows[np.isfinite(rows).all(axis=1)]
    whole[-1, [1, 4]] = 77, 9
    return whole


def explained(explainer: Explainer, rows: Rows) -> npt.NDArray[np.float64]:
    """Return the contributions to each row's score: shape (n, features)."""
    return np.array([explainer.explain(row.tolist()).contributions for row in rows])


def without_covers(content: bytes) -> bytes:
    """Return a graph as it was exported before it told how many rows come to each node."""
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_hitrates":
                attribute.floats[:] = [1.0] * len(attribute.floats)
    old: bytes = model.SerializeToString()
    return old
