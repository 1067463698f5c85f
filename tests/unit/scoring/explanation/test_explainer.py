"""Whatever the model is, what its features contribute adds up to its score, and says by which method."""

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from math import factorial

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit

from services.scoring.explanation.explainer import Explainer
from services.training.estimators.export import export
from services.training.estimators.families import Spec, fit
from shared.models.session import OnnxModel
from tests.unit.scoring.explanation.explained import (
    LINEAR,
    TREES,
    WAYS,
    explained,
    explainer_of,
    graph_of,
    manifest_of,
    trained,
    whole_payments,
    without_covers,
)
from tests.unit.training.estimators.scene import AMOUNT, CHANNEL, WIDTH, Rows, payments, spec

BOOSTING = TREES[0]
NETWORK = spec("multilayer_perceptron")
every_way = pytest.mark.parametrize("of", WAYS, ids=str)


@every_way
def test_contributions_add_up_to_the_log_odds_of_the_score(of: Spec) -> None:
    model = OnnxModel(manifest_of(of), graph_of(of))
    rows = whole_payments()
    for row, score in zip(rows, model.scores(rows), strict=True):
        told = explainer_of(of).explain(row.tolist())
        assert told.method == WAYS[of]
        assert told.base + told.contributions.sum() == pytest.approx(told.logit, abs=1e-9)
        assert expit(told.logit) == pytest.approx(score, abs=1e-6)


@every_way
def test_the_same_payment_gets_the_same_bytes(of: Spec) -> None:
    rows = whole_payments(10)
    again = Explainer(manifest_of(of), graph_of(of))
    assert explained(again, rows).tobytes() == explained(explainer_of(of), rows).tobytes()


@pytest.mark.parametrize("of", [BOOSTING, NETWORK], ids=str)
def test_threads_do_not_disturb_each_other(of: Spec) -> None:
    rows = np.tile(whole_payments(), (5, 1))
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda row: explainer_of(of).explain(row.tolist()).contributions, rows))
    assert np.array(told).tobytes() == explained(explainer_of(of), rows).tobytes()


@pytest.mark.parametrize("of", LINEAR, ids=str)
def test_a_linear_model_is_explained_by_each_features_own_term(of: Spec) -> None:
    rows = whole_payments()
    pipeline, (slope, offset) = trained(of).estimator_, trained(of).line
    scaled, classifier = pipeline[:-1].transform(rows), pipeline[-1]
    ours = explained(explainer_of(of), rows)
    assert ours[:, AMOUNT] == pytest.approx(slope * classifier.coef_[0, 2] * scaled[:, 2], abs=1e-5)
    assert ours[:, CHANNEL] == pytest.approx(slope * classifier.coef_[0, 1] * scaled[:, 1], abs=1e-5)
    base = explainer_of(of).explain(rows[0].tolist()).base
    assert base == pytest.approx(slope * classifier.intercept_[0] + offset, abs=1e-5)


def shapley(model: OnnxModel, row: Rows, typical: Rows) -> npt.NDArray[np.float64]:
    """Return Shapley's values by their definition: over every set of features."""
    sets = [s for size in range(WIDTH + 1) for s in combinations(range(WIDTH), size)]
    rows = np.array([[row[f] if f in s else typical[f] for f in range(WIDTH)] for s in sets], dtype=np.float32)
    scores = model.scores(rows).astype(np.float64)
    answers = dict(zip(sets, np.log(scores) - np.log1p(-scores), strict=True))
    values = np.zeros(WIDTH)
    for s in sets:
        for feature in set(range(WIDTH)) - set(s):
            weight = factorial(len(s)) * factorial(WIDTH - len(s) - 1) / factorial(WIDTH)
            values[feature] += weight * (answers[tuple(sorted((*s, feature)))] - answers[s])
    return values


@pytest.mark.parametrize("family", ["multilayer_perceptron", "soft_voting", "stacking"])
def test_what_is_sampled_is_near_what_the_definition_gives(family: str) -> None:
    of = spec(family)
    model = OnnxModel(manifest_of(of), graph_of(of))
    gaps = np.full(WIDTH, np.nan, dtype=np.float32)
    rows = whole_payments(30)
    exact = np.array([shapley(model, row, gaps) for row in rows])
    assert np.abs(explained(explainer_of(of), rows) - exact).mean() < 0.15 * np.abs(exact).mean()


@pytest.mark.parametrize("of", TREES, ids=str)
def test_a_graph_without_counts_of_rows_is_explained_by_sampling_and_says_so(of: Spec) -> None:
    row = whole_payments()[0].tolist()
    old = Explainer(manifest_of(of), without_covers(graph_of(of))).explain(row)
    now = explainer_of(of).explain(row)
    assert (old.method, now.method) == ("sampled", "tree_shap")
    assert old.logit == now.logit
    assert old.base + old.contributions.sum() == pytest.approx(old.logit, abs=1e-9)


def test_log_odds_that_the_calibration_cuts_off_are_added_up_to() -> None:
    model = fit(BOOSTING, payments(600))
    for (tree,) in model.estimator_[-1]._predictors:
        tree.nodes["value"] *= 20
    explainer, whole = Explainer(manifest_of(BOOSTING), export(model, WIDTH)), explainer_of(BOOSTING)
    cut_off = 0
    for row in whole_payments():
        told, uncut = explainer.explain(row.tolist()), whole.explain(row.tolist())
        assert told.base + told.contributions.sum() == pytest.approx(told.logit, abs=1e-9)
        cut_off += not -16.1 < told.logit < 11.5
        shares = told.contributions / np.abs(told.contributions).sum()
        assert shares == pytest.approx(uncut.contributions / np.abs(uncut.contributions).sum(), abs=1e-4)
    assert cut_off > 5


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(ValueError, match="no ONNX graph"):
        Explainer(manifest_of(BOOSTING), b"no graph")


def test_a_vector_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=f"3 values cannot be explained by a model of {WIDTH} features"):
        explainer_of(BOOSTING).explain([1.0, 2.0, 3.0])
