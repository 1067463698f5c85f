"""What is wrong with a training set: told before a model is trained, and refused where no model could be right.

A value that a feature's own definition rules out (a share above 1, a negative count) is a fault of whoever computed it.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from services.training.archive import Archive
from services.training.columns import feature_columns
from services.training.data.dataset import TrainingSet
from services.training.gates.float32 import float32_losses
from services.training.refusal import RefusedError
from shared.features.definitions import Aggregation, Category, Feature, Row, RowFunction

Kind = Literal[
    "missing",
    "infinite",
    "out_of_range",
    "constant",
    "near_constant",
    "float32",
    "same_column",
    "same_rows",
    "repeated",
    "degraded",
]

Columns = npt.NDArray[np.float32]
"""A training set's rows turned, shape (features, n)."""

NEAR_CONSTANT_SHARE = 0.999
"""A feature with one value in so many payments is told of."""
EXACT_ROWS_MAX = 50_000

_INFINITY = float("inf")
_ROUNDING = 1e-6
"""Float32 may carry a value this far beyond its range, relative to the bound."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT = (0.0, 1.0)
_SIGNED_UNIT = (-1.0, 1.0)
_FROM_ZERO = (0.0, _INFINITY)
_ANY = (-_INFINITY, _INFINITY)
_RANGES = {
    RowFunction.WEEKEND: _UNIT,
    RowFunction.NIGHT: _UNIT,
    RowFunction.HOUR_SINE: _SIGNED_UNIT,
    RowFunction.HOUR_COSINE: _SIGNED_UNIT,
    RowFunction.WEEKDAY_SINE: _SIGNED_UNIT,
    RowFunction.WEEKDAY_COSINE: _SIGNED_UNIT,
    Aggregation.SHARE: _UNIT,
    Aggregation.FRAUD_RATE: _UNIT,
    Aggregation.Z_SCORE: _ANY,
    Aggregation.ROBUST_Z: _ANY,
}
_TIMES = {Aggregation.SINCE_LAST, Aggregation.SINCE_FIRST, Aggregation.SINCE_FRAUD}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    feature: whose values they are; None when it is about payments. share: of the payments that it concerns (float32: of
    the feature's distinct values). refuses: no model is trained on this.
    """

    kind: Kind
    feature: str | None
    explanation: str
    share: float
    refuses: bool = False


@dataclass(frozen=True)
class DataQuality:
    """What a training set holds, and everything found wrong with it; the payments are from `oldest` to `newest`."""

    rows: int
    frauds: int
    unlabelled: int
    oldest: datetime
    newest: datetime
    findings: tuple[Finding, ...]

    def to_json(self) -> str:
        """Return it as JSON, an object with these names."""
        return msgspec.json.encode(self).decode()


def quality_of(data: TrainingSet, exact: npt.NDArray[np.float64]) -> DataQuality:
    """Return what is wrong with `data`, which holds at least one payment.

    exact: shape (k, features), payments as they were archived, to see what float32 loses of them (see `exact_rows`).
    """
    # Turned once: a column of n rows lies all over the memory, and is looked at again and again.
    columns = np.ascontiguousarray(data.rows.T)
    findings: list[Finding] = []
    for feature, values in zip(data.feature_set.features, columns, strict=True):
        findings += _of_column(feature, values)
    for loss in float32_losses(exact, data.feature_set.feature_names):
        one, other = loss.example
        told = f"has {loss.lost:.1%} of its values fall together in float32, for example {one!r} and {other!r}"
        findings.append(Finding("float32", loss.feature, told, loss.lost))
    findings += [*_same_columns(data.feature_set.feature_names, columns), *_of_payments(data, columns)]
    return DataQuality(
        rows=len(data.frauds),
        frauds=int(data.frauds.sum()),
        unlabelled=len(data.unlabelled),
        oldest=_EPOCH + timedelta(microseconds=int(data.times[0])),
        newest=_EPOCH + timedelta(microseconds=int(data.times[-1])),
        findings=tuple(findings),
    )


def exact_rows(archive: Archive, data: TrainingSet) -> npt.NDArray[np.float64]:
    """Return payments of the newest day in `data` in full precision; shape (k, features), k up to EXACT_ROWS_MAX."""
    day = (_EPOCH + timedelta(microseconds=int(data.times[-1]))).date()
    names = feature_columns(data.feature_set)
    vectors = archive.vectors(data.feature_set, names, since=day, until=day)
    rows: npt.NDArray[np.float64] = vectors.select(names).tail(EXACT_ROWS_MAX).to_numpy()
    return rows


def require_usable(quality: DataQuality) -> None:
    """Return when a model can be trained.

    Raises:
        RefusedError: findings that rule it out; the message names their features.
    """
    refusing = [finding for finding in quality.findings if finding.refuses]
    if refusing:
        told = "; ".join(f"feature {finding.feature} {finding.explanation}" for finding in refusing)
        raise RefusedError(
            "data_quality",
            f"{told}; correct what computes it and backfill the archive, or remove it from the feature set",
        )


def range_of(feature: Feature) -> tuple[float, float]:
    """Return the least and the greatest value that a feature's definition allows."""
    if isinstance(feature, Category):
        return _FROM_ZERO
    if isinstance(feature, Row):
        return _RANGES.get(feature.function, _FROM_ZERO)
    if feature.aggregation in _TIMES:
        return 0.0, (feature.length + feature.delay).total_seconds()
    return _RANGES.get(feature.aggregation, _FROM_ZERO)


def _of_column(feature: Feature, values: npt.NDArray[np.float32]) -> list[Finding]:
    name, count = feature.name, len(values)
    findings = []
    present = values[~np.isnan(values)]
    if len(present) < count:
        share = (count - len(present)) / count
        if not len(present):
            return [Finding("missing", name, "has no value in any payment", share, refuses=True)]
        findings.append(Finding("missing", name, f"has no value in {share:.2%} of the payments", share))
    finite = present[np.isfinite(present)]
    if len(finite) < len(present):
        share = (len(present) - len(finite)) / count
        told = f"is infinite, or too large for float32, in {share:.2%} of the payments"
        return [*findings, Finding("infinite", name, told, share, refuses=True)]
    low, high = range_of(feature)
    slack = _ROUNDING * max(1.0, high if high < _INFINITY else 1.0)
    outside = finite[(finite < low - slack) | (finite > high + slack)]
    if len(outside):
        share = len(outside) / count
        told = f"lies outside of {low:g} to {high:g} in {share:.2%} of the payments, for example {outside[0]:g}"
        findings.append(Finding("out_of_range", name, told, share))
    # A value that more than half of the payments have is their median.
    usual = np.partition(finite, len(finite) // 2)[len(finite) // 2]
    share = float((finite == usual).sum()) / len(finite)
    if share == 1:
        findings.append(Finding("constant", name, f"is always {usual:g}", share))
    elif share >= NEAR_CONSTANT_SHARE:
        findings.append(Finding("near_constant", name, f"is {usual:g} in {share:.2%} of the payments", share))
    return findings


def _same_columns(names: list[str], columns: Columns) -> list[Finding]:
    """Tell of each column that repeats an earlier one; constants are told of as such."""
    alike: dict[bytes, list[str]] = defaultdict(list)
    for name, values in zip(names, columns, strict=True):
        if np.fmin.reduce(values) < np.fmax.reduce(values):
            alike[hashlib.sha256(values.data).digest()].append(name)
    return [
        Finding("same_column", name, f"equals {first} in every payment", 1.0)
        for first, *others in alike.values()
        for name in others
    ]


def _of_payments(data: TrainingSet, columns: Columns) -> list[Finding]:
    count = len(data.frauds)
    same = count - len(np.unique(_row_hashes(columns)))
    repeated, degraded = data.reading.repeated, data.reading.degraded
    numbers: list[tuple[Kind, int, str]] = [
        ("same_rows", same, "payments have the same values as another one in every feature"),
        ("repeated", repeated, "payments were sent more than once; the first of each was taken"),
        ("degraded", degraded, "vectors were served with something missing, and say so"),
    ]
    return [Finding(kind, None, f"{found} {told}", found / count) for kind, found, told in numbers if found]


def _row_hashes(columns: Columns) -> npt.NDArray[np.uint64]:
    """Return 64 bits for each row, the same for equal ones: FNV-1a over the columns' bits, folded after each."""
    hashes = np.full(columns.shape[1], 0xCBF29CE484222325, dtype=np.uint64)
    for values in columns:
        hashes ^= values.view(np.uint32)
        hashes *= np.uint64(0x100000001B3)
        hashes ^= hashes >> np.uint64(32)
    return hashes
