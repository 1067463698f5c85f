"""What a model has learnt goes on: to newer payments, or to one segment beside a model for all."""

import numpy as np
import pytest

from services.training.data.dataset import TrainingSet
from services.training.estimators.calibrated import Calibrated
from services.training.estimators.families import fit
from services.training.estimators.transfer import EPOCHS, continued, specialised
from services.training.refusal import RefusedError
from tests.unit.training.estimators.scene import CHANNEL, average_precision, loaded, payments, spec

CONTINUABLE = [
    "logistic_l1",
    "logistic_l2",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "multilayer_perceptron",
]
ONLINE = 1


def champion(family: str, *, anomaly_features: bool = False) -> Calibrated:
    made = fit(spec(family, anomaly_features=anomaly_features), payments())
    made.set_params(slope=1.2, intercept=-0.1)
    return made


def of_channel(data: TrainingSet, channel: int) -> TrainingSet:
    return data.part(data.rows[:, CHANNEL] == channel)


def agrees_in_onnx(model: Calibrated, data: TrainingSet) -> bool:
    return bool(np.abs(loaded(model).scores(data.rows) - model.predict_proba(data.rows)[:, 1]).max() <= 1e-5)


@pytest.mark.parametrize("family", CONTINUABLE)
def test_a_model_that_was_carried_on_knows_the_new_pattern(family: str) -> None:
    new, later = payments(1_500, seed=1, new_pattern=True), payments(3_000, seed=2, new_pattern=True)
    before = champion(family)
    after = continued(before, new)
    assert average_precision(after, later) > 1.5 * average_precision(before, later)
    assert (after.slope, after.intercept) == (before.slope, before.intercept)
    assert agrees_in_onnx(after, later)


@pytest.mark.parametrize("family", CONTINUABLE)
def test_the_model_it_was_carried_on_from_stays_as_it_is(family: str) -> None:
    before, untouched, rows = champion(family), champion(family), payments(200, seed=3).rows
    after = continued(before, payments(1_000, seed=1, new_pattern=True))
    assert (before.predict_proba(rows) == untouched.predict_proba(rows)).all()
    assert (after.predict_proba(rows) != before.predict_proba(rows)).any()


@pytest.mark.parametrize("family", CONTINUABLE)
def test_carrying_on_twice_from_the_same_model_gives_the_same(family: str) -> None:
    new = payments(500, seed=1)
    one, other = (continued(champion(family), new).predict_proba(new.rows) for _ in range(2))
    assert (one == other).all()


@pytest.mark.parametrize("family", ["gradient_boosting", "logistic_l2"])
def test_a_model_with_anomaly_features_is_carried_on_and_served(family: str) -> None:
    new = payments(1_000, seed=1, new_pattern=True)
    assert agrees_in_onnx(continued(champion(family, anomaly_features=True), new), new)


def test_a_forest_keeps_its_newer_trees() -> None:
    before = champion("random_forest")
    after = continued(before, payments(500, seed=1))
    old, new = (model.estimator_[-1].estimators_ for model in (before, after))
    rows = before.estimator_[:-1].transform(payments(100).rows)
    assert len(new) == len(old) == 20
    assert all((kept.predict(rows) == tree.predict(rows)).all() for kept, tree in zip(new[:10], old[10:], strict=True))


def test_a_network_is_given_its_passes_although_the_new_payments_are_harder() -> None:
    before = champion("multilayer_perceptron")
    after = continued(before, payments(500, seed=1, new_pattern=True))
    old, new = (model.estimator_[-1].loss_curve_ for model in (before, after))
    assert len(new) - len(old) == EPOCHS


@pytest.mark.parametrize("family", ["decision_tree", "soft_voting", "stacking", "isolation_forest"])
def test_a_family_that_cannot_go_on_is_told(family: str) -> None:
    with pytest.raises(RefusedError, match="train it anew") as refused:
        continued(fit(spec(family), payments()), payments(seed=1))
    assert refused.value.code == "not_continuable"


def test_new_payments_without_a_fraud_are_told() -> None:
    new = payments(500, seed=1)
    with pytest.raises(RefusedError, match="both classes are needed") as refused:
        continued(champion("logistic_l2"), new.part(new.frauds == 0))
    assert refused.value.code == "one_class"


@pytest.mark.parametrize("family", CONTINUABLE)
def test_a_specialist_is_better_in_its_segment_and_leaves_the_others_alone(family: str) -> None:
    base = champion(family)
    both = specialised(base, payments(3_000, seed=1, new_pattern=True), feature=CHANNEL, code=ONLINE)
    later = payments(3_000, seed=2, new_pattern=True)
    online, others = of_channel(later, ONLINE), later.part(later.rows[:, CHANNEL] != ONLINE)
    assert average_precision(both, online) > 1.5 * average_precision(base, online)
    assert (both.predict_proba(others.rows) == base.predict_proba(others.rows)).all()
    assert agrees_in_onnx(both, later)
    assert (both.predict(later.rows) == (both.predict_proba(later.rows)[:, 1] > 0.5)).all()


def test_a_segment_that_nobody_pays_in_is_told() -> None:
    with pytest.raises(RefusedError, match="choose a larger segment"):
        specialised(champion("logistic_l2"), payments(), feature=CHANNEL, code=99)
