"""The values of trees, read from the graph that scores, are those that the method's authors compute from the model."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shap  # type: ignore[import-untyped]
from scipy.special import logit
from sklearn.ensemble import ExtraTreesClassifier

from services.scoring.explanation.explainer import Explainer
from services.scoring.explanation.tree_shap import POINTS
from services.training.estimators.export import export
from services.training.estimators.families import Spec
from services.training.estimators.preparation import prepared
from shared.models.graph import Graph
from shared.models.graph_columns import columns_of
from shared.models.graph_score import TreeSum, score_of
from tests.models import manifest_of
from tests.unit.scoring.explanation.explained import TREES, explainer_of, graph_of, trained, whole_payments
from tests.unit.training.estimators.scene import AMOUNT, CHANNEL, CONSTANT, COUNT, MCC, MEAN, SINE, WIDTH, Rows

PREPARED = [MCC, CHANNEL, AMOUNT, COUNT, MEAN, SINE, CONSTANT]
"""The features in the order of the prepared columns: categories first."""


def of_the_authors(of: Spec, rows: Rows) -> tuple[float, npt.NDArray[np.float64]]:
    """Return what the trees answer on average, and each feature's values: in log odds, or of forests in probability."""
    pipeline = trained(of).estimator_
    explainer = shap.TreeExplainer(pipeline[-1], feature_perturbation="tree_path_dependent", model_output="raw")
    values: Any = np.asarray(explainer.shap_values(prepared(pipeline, rows).astype(np.float64)))
    values = values[:, :, 1] if values.ndim == 3 else values
    by_feature = np.zeros_like(values)
    by_feature[:, PREPARED] = values
    return float(np.ravel(explainer.expected_value)[-1]), by_feature


def test_boosting_is_explained_as_its_authors_explain_it() -> None:
    boosting, rows = TREES[0], whole_payments()
    base, theirs = of_the_authors(boosting, rows)
    slope, offset = trained(boosting).line
    for row, of_row in zip(rows, theirs, strict=True):
        ours = explainer_of(boosting).explain(row.tolist())
        assert ours.base == pytest.approx(slope * base + offset, abs=1e-6)
        assert ours.contributions == pytest.approx(slope * of_row, abs=1e-6)


@pytest.mark.parametrize("forest", TREES[1:], ids=str)
def test_what_a_forest_is_explained_with_is_exact_in_probability(forest: Spec) -> None:
    rows = whole_payments()
    base, theirs = of_the_authors(forest, rows)
    slope, offset = trained(forest).line
    for row, of_row in zip(rows, theirs, strict=True):
        ours = explainer_of(forest).explain(row.tolist())
        assert ours.base == pytest.approx(slope * logit(base) + offset, abs=1e-6)
        answer = base + of_row.sum()
        assert ours.contributions * (answer - base) == pytest.approx((ours.logit - ours.base) * of_row, abs=1e-6)
        assert 1e-7 < answer < 1 - 1e-5 or ours.logit < ours.base


@pytest.mark.parametrize("of", TREES, ids=str)
def test_the_graph_tells_how_many_training_rows_came_to_each_node(of: Spec) -> None:
    graph = Graph(graph_of(of))
    total = score_of(graph).total
    assert isinstance(total, TreeSum)
    assert total.trees.has_covers
    assert columns_of(graph, total.rows, WIDTH) == PREPARED
    assert total.trees.covers[total.trees.begins[:-1]].min() > 100


def features_on_the_longest_way(tree: Any, node: int = 0, above: frozenset[int] = frozenset()) -> int:
    if tree.children_left[node] < 0:
        return len(above)
    asked = above | {int(tree.feature[node])}
    children = (tree.children_left[node], tree.children_right[node])
    return max(features_on_the_longest_way(tree, child, asked) for child in children)


def test_ways_past_more_features_than_the_integration_is_exact_for_are_explained_as_exactly() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3_000, 40)).astype(np.float32)
    frauds = rows[:, :20].sum(axis=1) + rng.normal(size=len(rows)) > 2
    forest = ExtraTreesClassifier(6, max_features=1, random_state=0).fit(rows, frauds)
    assert max(features_on_the_longest_way(tree.tree_) for tree in forest.estimators_) > 2 * POINTS
    explainer = Explainer(manifest_of(1, feature_names=[f"feature_{n}" for n in range(40)]), export(forest, 40))
    authors = shap.TreeExplainer(forest, feature_perturbation="tree_path_dependent")
    base = float(authors.expected_value[1])
    for row, theirs in zip(rows[:20], authors.shap_values(rows[:20].astype(np.float64))[:, :, 1], strict=True):
        ours = explainer.explain(row.tolist())
        assert ours.method == "tree_shap"
        in_probability = ours.contributions * theirs.sum() / (ours.logit - ours.base)
        assert in_probability == pytest.approx(theirs, abs=1e-9)
        assert ours.base == pytest.approx(logit(base), abs=1e-6)
