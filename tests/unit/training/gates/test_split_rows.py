"""Rows placed on splits lie as close to either side of them as float32 allows."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from services.training.estimators.preparation import preparation
from services.training.gates.export_gate import BOUND
from services.training.gates.probe import Probe
from services.training.gates.split_rows import on_splits
from tests.unit.training.gates.export_scene import MCC, NAMES, payments

DATA = payments(500)
CATEGORIES = DATA.feature_set.categories


def tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=5, random_state=0)


def pairs(probe: Probe) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the rows before and behind each split: those on categories come first, then those on numbers."""
    assert probe.features is not None
    before, behind = [], []
    for of_kind in (probe.features == MCC, probe.features != MCC):
        if of_kind.any():
            halves = np.split(probe.rows[of_kind], 2)
            before.append(halves[0])
            behind.append(halves[1])
    return np.concatenate(before), np.concatenate(behind)


PREPARATIONS = {
    "none": (),
    "a scaler": (StandardScaler(),),
    "rates": (preparation([MCC], len(NAMES), 0),),
    "rates and a scaler": (preparation([MCC], len(NAMES), 0), StandardScaler()),
}


@pytest.mark.parametrize("prepared_by", PREPARATIONS)
def test_each_split_has_two_rows_that_end_in_different_leaves(prepared_by: str) -> None:
    model = Pipeline([("first", "passthrough"), *named(prepared_by), ("tree", tree())]).fit(DATA.rows, DATA.frauds)
    probe = on_splits(model, DATA.rows, CATEGORIES, bound=BOUND)
    before, behind = pairs(probe)
    assert len(before) == np.count_nonzero(model[-1].tree_.children_left >= 0)
    leaves = [model[-1].apply(model[:-1].transform(rows)) for rows in (before, behind)]
    assert np.all(leaves[0] != leaves[1])


@pytest.mark.parametrize("prepared_by", PREPARATIONS)
def test_the_two_rows_differ_by_one_float32_of_one_number(prepared_by: str) -> None:
    model = Pipeline([("first", "passthrough"), *named(prepared_by), ("tree", tree())]).fit(DATA.rows, DATA.frauds)
    before, behind = pairs(on_splits(model, DATA.rows, CATEGORIES, bound=BOUND))
    assert np.all((before != behind).sum(axis=1) == 1)
    numbers = np.setdiff1d(np.arange(len(NAMES)), CATEGORIES)
    moved = before[:, numbers] != behind[:, numbers]
    assert moved.any()
    assert np.array_equal(np.nextafter(before[:, numbers], behind[:, numbers])[moved], behind[:, numbers][moved])


def named(prepared_by: str) -> list[tuple[str, object]]:
    return [(f"step {at}", step) for at, step in enumerate(PREPARATIONS[prepared_by])]


def test_trees_are_found_inside_of_what_is_built_around_them() -> None:
    alone = tree().fit(DATA.rows, DATA.frauds)
    expected = on_splits(alone, DATA.rows, CATEGORIES, bound=BOUND).rows
    around = {
        "voting": VotingClassifier([("tree", tree()), ("line", LogisticRegression())], voting="soft"),
        "bagging": BaggingClassifier(tree(), 1, bootstrap=False, random_state=0),
        "frozen": CalibratedClassifierCV(FrozenEstimator(alone), cv=3),
        "nested": make_pipeline("passthrough", VotingClassifier([("tree", make_pipeline(tree()))], voting="soft")),
    }
    for model in around.values():
        found = on_splits(model.fit(DATA.rows, DATA.frauds), DATA.rows, CATEGORIES, bound=BOUND).rows
        assert {row.tobytes() for row in expected} & {row.tobytes() for row in found}


def test_boosting_with_missing_values_is_met_on_both_sides_of_its_thresholds() -> None:
    rows = DATA.rows.copy()
    rows[::5, 1:] = np.nan
    model = HistGradientBoostingClassifier(max_iter=1, max_leaf_nodes=8, min_samples_leaf=5).fit(rows, DATA.frauds)
    before, behind = pairs(on_splits(model, rows, [], bound=BOUND))
    raw = [model.decision_function(each) for each in (before, behind)]
    assert len(before) > 3
    assert np.all(raw[0] != raw[1])


def test_splits_on_what_several_features_make_are_left_out() -> None:
    model = make_pipeline(PCA(2), tree()).fit(DATA.rows, DATA.frauds)
    assert len(on_splits(model, DATA.rows, CATEGORIES, bound=BOUND).rows) == 0


def test_a_model_without_trees_has_no_splits() -> None:
    model = LogisticRegression().fit(DATA.rows, DATA.frauds)
    assert len(on_splits(model, DATA.rows, CATEGORIES, bound=BOUND).rows) == 0
