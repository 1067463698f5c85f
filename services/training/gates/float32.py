"""What features lose when they become float32, which is what models are trained on and served.

An epoch in seconds does: float32 tells 1.7 billion only from 128 more, so all payments of two minutes become one value.
A feature is then better given as a difference, a time since something.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LOST_MIN = 0.01
"""Of many values as fine as float32 itself a few fall together by chance."""
_ROUNDING = 1e-12
"""Relative difference of two float64 that is left over from arithmetic, and tells nothing."""


class Loss(NamedTuple):
    """A feature whose values fall together in float32.

    lost: share of its different values that are no longer told apart from another. example: two that become one.
    """

    feature: str
    lost: float
    example: tuple[float, float]


def float32_losses(rows: npt.NDArray[np.float64], names: Sequence[str], *, lost_min: float = LOST_MIN) -> list[Loss]:
    """Return the features that lose more than `lost_min`, those that lose most first.

    rows: shape (n, features), before they become float32. names: of the features.
    """
    losses = [loss for name, values in zip(names, rows.T, strict=True) if (loss := _loss(name, values)).lost > lost_min]
    return sorted(losses, key=lambda loss: -loss.lost)


def _loss(name: str, values: npt.NDArray[np.float64]) -> Loss:
    ordered = np.unique(values[np.isfinite(values)])
    gaps = np.diff(ordered)
    told_apart = gaps > _ROUNDING * np.abs(ordered[1:])
    with np.errstate(over="ignore"):  # beyond float32 all values are infinite, so one
        single = ordered.astype(np.float32)
    lost = told_apart & (single[1:] == single[:-1])
    if not lost.any():
        return Loss(name, 0.0, (0.0, 0.0))
    widest = int(np.argmax(np.where(lost, gaps, 0.0)))
    return Loss(name, float(lost.sum() / (1 + told_apart.sum())), (float(ordered[widest]), float(ordered[widest + 1])))
