"""Specifications travel as JSON, wrong ones are told, and self-training learns from payments without a label."""

import pickle
from typing import Any

import numpy as np
import pytest

from services.training.estimators.families import FAMILIES, Spec, build, fit
from services.training.estimators.preparation import rates_of
from services.training.refusal import RefusedError
from tests.unit.training.estimators.scene import AMOUNT, FEATURES, MCC, average_precision, payments, spec, training_set

NEW_MCC = 7777


@pytest.mark.parametrize("family", FAMILIES)
def test_a_search_varies_only_parameters_that_a_family_has(family: str) -> None:
    assert set(FAMILIES[family].space) <= set(FAMILIES[family].defaults)


def test_a_specification_survives_json_and_pickle() -> None:
    numbers: dict[str, Any] = {"n_estimators": np.int64(30), "max_features": np.float64(0.3)}
    drawn = Spec("random_forest", {**numbers, "max_depth": None})
    assert Spec.from_json(drawn.to_json()) == drawn
    assert pickle.loads(pickle.dumps(drawn)) == drawn  # noqa: S301
    assert str(drawn) == "random_forest(max_depth=None, max_features=0.3, n_estimators=30)"


def test_the_order_of_parameters_makes_no_difference() -> None:
    one, other = Spec("stacking", {"C": 1.0, "members": "a"}), Spec("stacking", {"members": "a", "C": 1.0})
    assert (one, hash(one), one.to_json()) == (other, hash(other), other.to_json())


@pytest.mark.parametrize(
    ("wrong", "code", "told"),
    [
        (Spec("xgboost"), "unknown_family", "'xgboost'; choose from logistic_l1, "),
        (Spec("decision_tree", {"depth": 3}), "unknown_parameter", "decision_tree has no parameter depth; it has max_"),
        (Spec("soft_voting", {"members": "random_forest+forest"}), "unknown_family", "'forest'"),
        (Spec("soft_voting", {"decision_tree.max_depth": 3}), "unknown_parameter", "has no parameter decision_tree"),
        (Spec("soft_voting", {"random_forest.depth": 3}), "unknown_parameter", "random_forest has no parameter depth;"),
        (Spec("stacking", {"logistic_l2.genuine_fraction": 0.5}), "unknown_parameter", "has no parameter logistic_l2"),
    ],
    ids=str,
)
def test_what_there_is_not_is_told_with_what_there_is(wrong: Spec, code: str, told: str) -> None:
    with pytest.raises(RefusedError, match=told) as refused:
        build(wrong, FEATURES)
    assert refused.value.code == code


def test_a_seed_makes_another_model() -> None:
    scores = [fit(spec("random_forest"), payments(), seed=seed).predict_proba(payments(50).rows) for seed in (0, 1)]
    assert (scores[0] != scores[1]).any()


@pytest.mark.parametrize("family", ["soft_voting", "stacking", "self_training"])
def test_a_member_is_trained_with_the_parameters_named_behind_it(family: str) -> None:
    shallow = fit(spec(family, **{"decision_tree.max_depth": 1}), payments()).estimator_
    tree = shallow[-1] if family == "self_training" else shallow.estimators_[-1][-1]
    assert tree.get_depth() == 1


@pytest.mark.parametrize("base", ["logistic_l2", "random_forest", "gradient_boosting"])
def test_self_training_knows_a_category_that_only_unlabelled_payments_have(base: str) -> None:
    labelled, unlabelled = payments(), payments(1_500, seed=1).rows
    plainly_fraud = np.arange(len(unlabelled)) < 40
    unlabelled[plainly_fraud, AMOUNT], unlabelled[plainly_fraud, MCC] = 200, NEW_MCC
    data = training_set(labelled.rows, labelled.frauds, unlabelled)
    model = fit(spec("self_training", base=base, threshold=0.6), data)
    known = rates_of(model.estimator_)[MCC]
    assert known.rates[known.codes == NEW_MCC].tolist() == [pytest.approx(0.5, abs=0.1)]
    assert known.unseen < 0.2
    later = payments(seed=2)
    assert average_precision(model, later) > 0.8 * average_precision(fit(spec(base), labelled), later)


def test_self_training_without_unlabelled_payments_is_its_base() -> None:
    rows = payments(seed=1).rows
    alone, base = (fit(spec(*each), payments()) for each in (("self_training",), ("decision_tree",)))
    assert (alone.predict_proba(rows) == base.predict_proba(rows)).all()
