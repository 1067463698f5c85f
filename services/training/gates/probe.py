"""Rows on which an exported model is compared with the one it was made from."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

DATA_ROWS_MAX = 20_000
CATEGORY_ROWS_MAX = 20
"""Payments that are given one category after the other."""
EXTREMES = (0.0, -1.0, 1e-38, -1e30, 1e30, 1.7e9)
"""Zero, a negative, nearly zero, far beyond any feature, and an epoch in seconds, which has broken exports before."""
_FEW_ROWS = 5

Rows = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]
Scalar = TypeVar("Scalar", bound=np.generic)


class Probe(NamedTuple):
    """Rows to compare two models on.

    rows: shape (n, features). payments: shape (n, features): each row as it was before its one feature was changed.
    features: shape (n,), the feature that was; None where nothing was changed.
    """

    what: str
    rows: Rows
    payments: Rows
    features: Places | None


def unchanged(what: str, rows: Rows) -> Probe:
    """Return rows of data as they are, evenly spread over them."""
    some = spread(rows, DATA_ROWS_MAX)
    return Probe(what, some, some, None)


def changed(what: str, payments: Rows, features: Places, values: npt.NDArray[Any]) -> Probe:
    """Return `payments` with one feature of each set to a value: `features` and `values` have shape (payments,)."""
    rows = payments.copy()
    rows[np.arange(len(rows)), features] = values
    return Probe(what, rows, payments, features)


def of_categories(rows: Rows, categories: Sequence[int]) -> Iterator[Probe]:
    """Return, for each category, some payments with every code that `rows` hold, and some that they do not."""
    for feature in categories:
        codes = spread(codes_and_neighbours(rows[:, feature]), DATA_ROWS_MAX)
        some = spread(rows, max(1, min(CATEGORY_ROWS_MAX, DATA_ROWS_MAX // len(codes))))
        payments = np.repeat(some, len(codes), axis=0)
        yield changed("rows of each category", payments, np.full(len(payments), feature), np.tile(codes, len(some)))


def codes_and_neighbours(values: Rows) -> npt.NDArray[np.float32]:
    """Return, ascending, the codes in `values`, and 0, and those next to them that are not."""
    known = np.append(values[np.isfinite(values)], np.float32(0))
    return np.unique(np.concatenate([known, known + 1, known - 1]))


def with_extremes(rows: Rows) -> Probe:
    """Return some payments with one feature at a time at an extreme value."""
    return _each_feature("rows with an extreme value", rows, EXTREMES)


def with_missing(rows: Rows) -> Probe:
    """Return some payments with one feature at a time missing."""
    return _each_feature("rows with a missing value", rows, (np.nan,))


def _each_feature(what: str, rows: Rows, values: Sequence[float]) -> Probe:
    some, width = spread(rows, _FEW_ROWS), rows.shape[1]
    payments = np.repeat(some, width * len(values), axis=0)
    features = np.tile(np.repeat(np.arange(width), len(values)), len(some))
    return changed(what, payments, features, np.tile(np.array(values, dtype=np.float32), len(some) * width))


def spread(values: npt.NDArray[Scalar], count_max: int) -> npt.NDArray[Scalar]:
    """Return at most `count_max` of `values`, evenly spread."""
    if len(values) <= count_max:
        return values
    return values[np.linspace(0, len(values) - 1, count_max).astype(np.intp)]
