"""Rows on either side of every split of a model's trees: what tells a threshold that was rounded the wrong way.

Rows of data show little of a tree's splits. So for each split, a payment that reaches it is moved onto it: its feature
is set to the last float32 that goes one way, and to the first that goes the other. They are found by bisection over the
bit patterns of float32, through whatever preparation stands before the trees (a scaler, an imputation). A category gets
the code that is prepared to the value next below the threshold, and next above. Of the payments that reach a split, one
is taken whose score depends on which way it goes, or else a threshold that was changed would not show.

A split on what several features were made into (a principal component) is left out: no one feature puts a payment on
it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.gates.probe import Places, Probe, Rows, changed, codes_and_neighbours, spread
from services.training.gates.trees import Matrix, Tree, View, views_of, witnesses

SPLITS_MAX = 20_000
"""More splits than this are sampled evenly: a split costs two rows."""
PAYMENTS_MAX = 20_000
_LEVELS = 33
"""Values of a feature, evenly spread over its payments, between which a threshold is sought."""
_TRIED_PAYMENTS = 4
"""Payments on which it is tried which prepared columns a feature moves."""
_NOTHING = (np.empty(0, np.intp), np.empty(0, np.intp), np.empty((2, 0), np.float32))


class _Splits(NamedTuple):
    """Splits of trees.

    payments: some that reach each split, -1 for none: shape (any, splits). columns: the prepared ones they split.
    features: each behind its column.
    """

    payments: Places
    columns: Places
    features: Places
    thresholds: npt.NDArray[np.float64]

    def where(self, taken: Places) -> "_Splits":
        return _Splits(self.payments[:, taken], self.columns[taken], self.features[taken], self.thresholds[taken])


def on_splits(reference: Any, rows: Rows, categories: Sequence[int], *, bound: float) -> Probe:
    """Return two rows for each split of the trees in a fitted classifier whose scores differ by more than `bound`.

    reference: any nesting of scikit-learn's pipelines, voting, stacking, bagging, calibration and self-training around
    trees, forests, boosting and isolation forests. rows: payments. categories: the features that hold codes.
    """
    payments = spread(rows, PAYMENTS_MAX)
    views = views_of(reference, payments)
    found: list[tuple[Places, Places, Matrix]] = [_NOTHING]
    for view, trees in views:
        splits = _reached(view, trees, payments, SPLITS_MAX // len(views))
        coded = np.isin(splits.features, categories)
        for taken, beside in ((np.flatnonzero(coded), _codes_beside), (np.flatnonzero(~coded), _values_beside)):
            if len(taken):
                some = splits.where(taken)
                lies_between, sides = beside(view, some, payments, trees[0].precision)
                within = np.flatnonzero(lies_between)
                found.append(_telling(reference, payments, some.where(within), sides[:, within], bound))
    at, features, values = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    what = "rows placed on split thresholds"
    return changed(what, payments[np.tile(at, 2)], np.tile(features, 2), values.ravel())


def _telling(
    reference: Any, payments: Rows, splits: _Splits, sides: Matrix, bound: float
) -> tuple[Places, Places, Matrix]:
    """Return, of each split that tells, a payment whose score depends on it, the feature, and the values beside."""
    chosen = np.full(len(splits.features), -1)
    for reaching in splits.payments:
        undecided = np.flatnonzero((chosen < 0) & (reaching >= 0))
        if len(undecided):
            scores = []
            for values in sides[:, undecided]:
                rows = payments[reaching[undecided]]
                rows[np.arange(len(undecided)), splits.features[undecided]] = values
                scores.append(reference.predict_proba(rows)[:, 1])
            tells = np.abs(scores[0] - scores[1]) > bound
            chosen[undecided[tells]] = reaching[undecided[tells]]
    telling = np.flatnonzero(chosen >= 0)
    return chosen[telling], splits.features[telling], sides[:, telling]


def _reached(view: View, trees: Sequence[Tree], payments: Rows, count_max: int) -> _Splits:
    features_of = _features_behind(view, payments)
    found = []
    for tree in trees:
        witness = witnesses(tree, view)
        splits = np.flatnonzero(tree.left >= 0)
        reaching = np.concatenate([witness[:, tree.left[splits]], witness[:, tree.right[splits]]])
        columns = tree.columns[splits]
        met = (reaching >= 0).any(axis=0) & (features_of[columns] >= 0)
        in_tree = _Splits(reaching, columns, features_of[columns], tree.thresholds[splits])
        found.append(in_tree.where(np.flatnonzero(met)))
    together = _Splits(*(np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True)))
    return together.where(spread(np.arange(len(together.features)), count_max))


def _features_behind(view: View, payments: Rows) -> Places:
    """Return for each prepared column the one feature that moves it; -1 where none does, or several."""
    base = spread(payments, _TRIED_PAYMENTS)
    before = view.prepare(base)
    levels = _levels(payments, 5)
    moves = np.zeros((payments.shape[1], before.shape[1]), dtype=bool)
    for feature, values in enumerate(levels.T):
        rows = np.repeat(base, len(values), axis=0)
        rows[:, feature] = np.tile(values, len(base))
        after, unmoved = view.prepare(rows), np.repeat(before, len(values), axis=0)
        moves[feature] = ((after != unmoved) & ~(np.isnan(after) & np.isnan(unmoved))).any(axis=0)
    return np.where(moves.sum(axis=0) == 1, moves.argmax(axis=0), -1)


def _codes_beside(
    view: View, splits: _Splits, payments: Rows, precision: type[np.floating[Any]]
) -> tuple[npt.NDArray[np.bool_], Matrix]:
    """Return which splits have codes on both sides, and those codes: shape (2, splits)."""
    found = np.zeros(len(splits.features), dtype=bool)
    sides = np.zeros((2, len(found)), dtype=np.float32)
    for column in np.unique(splits.columns):
        at = np.flatnonzero(splits.columns == column)
        feature = splits.features[at[0]]
        codes = codes_and_neighbours(payments[:, feature])
        prepared = view.prepare(_with(payments[0], feature, codes))[:, column].astype(precision)
        by_value = np.argsort(prepared, kind="stable")
        above = np.searchsorted(prepared[by_value], splits.thresholds[at], side="right")
        found[at] = (above > 0) & (above < len(codes))
        last = len(codes) - 1
        sides[0, at], sides[1, at] = (
            codes[by_value[np.clip(above - 1, 0, last)]],
            codes[by_value[np.clip(above, 0, last)]],
        )
    return found, sides


def _values_beside(
    view: View, splits: _Splits, payments: Rows, precision: type[np.floating[Any]]
) -> tuple[npt.NDArray[np.bool_], Matrix]:
    """Return which splits lie within the payments' values, and the two next to each: shape (2, splits)."""
    # Many trees split alike. A feature's number is exact as float64.
    places = np.column_stack([splits.columns, splits.features, splits.thresholds])
    different, of_split = np.unique(places, axis=0, return_inverse=True)
    columns, features, thresholds = different[:, 0].astype(np.intp), different[:, 1].astype(np.intp), different[:, 2]
    rows = np.repeat(payments[:1], len(columns), axis=0)
    each = np.arange(len(columns))

    def goes_left(values: Matrix) -> npt.NDArray[np.bool_]:
        rows[each, features] = values
        left: npt.NDArray[np.bool_] = view.prepare(rows)[each, columns].astype(precision) <= thresholds
        return left

    levels = _levels(payments, _LEVELS)[:, features]
    left = np.stack([goes_left(level) for level in levels])
    crosses = left[1:] != left[:-1]
    first = crosses.argmax(axis=0)
    low, high, low_left = _order(levels[first, each]), _order(levels[first + 1, each]), left[first, each]
    while np.any(high - low > 1):
        middle = (low + high) // 2
        as_low = goes_left(_ordered(middle)) == low_left
        low, high = np.where(as_low, middle, low), np.where(as_low, high, middle)
    return crosses.any(axis=0)[of_split], np.stack([_ordered(low), _ordered(high)])[:, of_split]


def _levels(payments: Rows, count: int) -> Rows:
    """Return values that occur, of each feature, from the least to the largest: shape (count, features)."""
    shares = np.linspace(0, 1, count)
    return np.quantile(np.nan_to_num(payments), shares, axis=0, method="nearest").astype(np.float32)


def _with(payment: Rows, feature: int, values: Rows) -> Rows:
    rows = np.repeat(payment[None], len(values), axis=0)
    rows[:, feature] = values
    return rows


def _order(values: Rows) -> npt.NDArray[np.int64]:
    """Return the place of each float32 among all of them; next to each other are those with nothing in between."""
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _ordered(places: npt.NDArray[np.int64]) -> Rows:
    """Return the float32 at each place: the inverse of `_order`."""
    bits = np.where(places < 0, -places | 0x80000000, places)
    return bits.astype(np.uint32).view(np.float32)
