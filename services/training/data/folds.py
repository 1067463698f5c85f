"""Folds in order of time: every model is measured on payments later than those it learnt from."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.refusal import RefusedError

log = logging.getLogger(__name__)

_DAY_US = 24 * 3600 * 1_000_000


class Fold(NamedTuple):
    """Which payments to learn from and which to measure on, the latter all later. Shape (n,) each."""

    train: npt.NDArray[np.bool_]
    test: npt.NDArray[np.bool_]


def prequential_folds(
    times: npt.NDArray[np.int64], *, count: int, test_us: int, gap_us: int = 0, train_us: int | None = None
) -> list[Fold]:
    """Return `count` folds, oldest first, whose test periods of `test_us` follow each other up to the newest payment.

    times: shape (n,), ascending, in microseconds. A fold learns from the payments earlier than its test period by more
    than `gap_us`, the time that labels take: all of these, or the last `train_us` of them. Source: prequential
    validation, Dawid, "Present Position and Potential Developments", 1984.

    Raises:
        RefusedError: too_short, a fold has no payments to learn from or to measure on.
    """
    end = int(times[-1]) + 1 if len(times) else 0
    folds = []
    for periods_left in range(count, 0, -1):
        begin = end - periods_left * test_us
        learnt_until = begin - gap_us
        train = times < learnt_until
        if train_us is not None:
            train &= times >= learnt_until - train_us
        test = (times >= begin) & (times < begin + test_us)
        if not (train.any() and test.any()):
            raise RefusedError("too_short", _too_short(times, count, test_us, gap_us))
        folds.append(Fold(train, test))
    return folds


def with_both_classes(folds: Sequence[Fold], frauds: npt.NDArray[np.int8]) -> list[Fold]:
    """Return the folds that hold both, to learn from and to measure on; the log names the others.

    frauds: shape (n,), 1 for fraud.
    """
    usable = []
    for number, fold in enumerate(folds, start=1):
        lacking = [
            f"{int(taken.sum())} payments to {purpose}, {int(frauds[taken].sum())} of them frauds"
            for purpose, taken in (("learn from", fold.train), ("measure on", fold.test))
            if not 0 < int(frauds[taken].sum()) < int(taken.sum())
        ]
        if lacking:
            log.warning("fold %d of %d is left out: it has %s", number, len(folds), " and ".join(lacking))
        else:
            usable.append(fold)
    return usable


def _too_short(times: npt.NDArray[np.int64], count: int, test_us: int, gap_us: int) -> str:
    held = (int(times[-1] - times[0]) if len(times) else 0) / _DAY_US
    needed = (count * test_us + gap_us) / _DAY_US
    return (
        f"{len(times)} payments over {held:.1f} days; {count} test periods of {test_us / _DAY_US:.1f} days, each with "
        f"payments, and a gap of {gap_us / _DAY_US:.1f} days need more than {needed:.1f} days: wait for more payments, "
        "or ask for fewer or shorter test periods"
    )
