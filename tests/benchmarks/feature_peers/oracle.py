"""The slow, obvious way, for the last payments only; every exact peer must agree with it."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tests.benchmarks.feature_peers.workload import COMPARED, WINDOWS, Payment, Vector

_SUM_RELATIVE_MAX = 1e-9


def expected(payments: Sequence[Payment]) -> list[Vector]:
    """Return the vectors of the last COMPARED payments."""
    histories: dict[str, list[Payment]] = defaultdict(list)
    for payment in payments:
        for windows in WINDOWS:
            histories[getattr(payment, windows.entity)].append(payment)
    return [_vector(payment, histories) for payment in payments[-COMPARED:]]


def names() -> list[str]:
    """Return what the values of a vector are, such as `card sum 24 h`."""
    return [
        f"{entity} {aggregate} {window_ms // 3_600_000} h"
        for entity, windows_ms, aggregates in WINDOWS
        for window_ms in windows_ms
        for aggregate in aggregates
    ]


def disagreements(vectors: Sequence[Vector], wanted: Sequence[Vector]) -> list[str]:
    """Return one line for each value that is off: counts and maxima must be equal, sums and means within 1e-9."""
    if len(vectors) != len(wanted) or any(len(vector) != len(names()) for vector in vectors):
        return [f"{len(vectors)} vectors, or their lengths, are not the {len(wanted)} x {len(names())} wanted"]
    return [
        f"vector {row}, {name}: {value!r} instead of {right!r}"
        for row, (vector, right_vector) in enumerate(zip(vectors, wanted, strict=True))
        for name, value, right in zip(names(), vector, right_vector, strict=True)
        if not math.isclose(value, right, rel_tol=_SUM_RELATIVE_MAX if {"sum", "mean"} & {*name.split()} else 0.0)
    ]


def _vector(now: Payment, histories: Mapping[str, list[Payment]]) -> Vector:
    vector: Vector = []
    for entity, windows_ms, aggregates in WINDOWS:
        own = histories[getattr(now, entity)]
        for window_ms in windows_ms:
            amounts = [payment.amount_cents for payment in own if now.at_ms - window_ms < payment.at_ms <= now.at_ms]
            values: Mapping[str, float] = {
                "count": len(amounts),
                "sum": sum(amounts),
                "mean": sum(amounts) / len(amounts),
                "max": max(amounts),
            }
            vector += [values[aggregate] for aggregate in aggregates]
    return vector
