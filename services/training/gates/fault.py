"""Which feature it is that two models disagree over: the one without whose value they would agree."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.training.gates.probe import Places, Rows, spread

_STEPS = tuple(sign * 4**power for power in range(4) for sign in (1, -1))
"""How many float32 a value is moved by: enough to leave a threshold, however it was rounded."""
_OTHERS = 32
_CARRIES = 0.25
"""Share of other payments that must disagree once given the value: more than meet a rare fault by chance."""
_NAMED_MAX = 3

Agree = Callable[[Rows], npt.NDArray[np.bool_]]


def features_at_fault(
    agree: Agree, rows: Rows, replacements: Rows, payments: Rows, categories: Sequence[int]
) -> Places:
    """Return the feature at fault, or, likeliest first, several of which each may be; empty when it is no feature.

    agree: tells of rows whether the two models agree on them. rows: shape (k, features), a few on which they do not.
    replacements: shape (any, features), what each feature may be instead. payments: others, on which they may agree.
    categories: the features that hold codes.

    A fault at a threshold is gone when the feature moves by a hair, and the others may move. Any other is gone when the
    feature takes another value, but so it may be when another feature leads the row elsewhere; the one at fault is then
    the one whose value, given to other payments, makes the models disagree there too.
    """
    by_a_hair = _gone_by_a_hair(agree, rows, categories)
    alone = by_a_hair.sum(axis=1) == 1
    if alone.mean() > 0.5:
        return np.array([np.bincount(by_a_hair[alone].argmax(axis=1)).argmax()])
    gone = _gone_when_replaced(agree, rows, replacements)
    likely = np.argsort(-gone, kind="stable")
    likely = likely[gone[likely] > gone.max() / 2]
    if len(likely) > 1:
        carried = _carried(agree, rows, payments, likely)
        likely = likely[carried > carried.max() / 2] if carried.max() >= _CARRIES else likely
    found: Places = likely[:_NAMED_MAX]
    return found


def _gone_by_a_hair(agree: Agree, rows: Rows, categories: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return for each row and feature whether the models agree once it has moved: shape (k, features)."""
    values = np.stack([_moved(rows, step) for step in _STEPS], axis=-1)
    gone: npt.NDArray[np.bool_] = np.any(_with_each_value(agree, rows, values), axis=-1)
    gone[:, list(categories)] = False  # the next code is as far off as any other
    return gone


def _gone_when_replaced(agree: Agree, rows: Rows, replacements: Rows) -> npt.NDArray[np.float64]:
    """Return for each feature the share of replacements after which the models agree: shape (features,)."""
    values = np.broadcast_to(replacements.T, (len(rows), *replacements.T.shape))
    share: npt.NDArray[np.float64] = _with_each_value(agree, rows, values).mean(axis=(0, 2))
    return share


def _with_each_value(agree: Agree, rows: Rows, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return whether the models agree on each row with each feature set to each of its values: values' shape."""
    count, width, depth = values.shape
    tried = np.broadcast_to(rows[:, None, None, :], (*values.shape, width)).copy()
    tried[:, np.arange(width), :, np.arange(width)] = values.transpose(1, 0, 2)
    return agree(tried.reshape(-1, width)).reshape(count, width, depth)


def _carried(agree: Agree, rows: Rows, payments: Rows, features: Places) -> npt.NDArray[np.float64]:
    """Return for each of `features` how many of other payments disagree once given its value in `rows`, as a share."""
    others = spread(payments, _OTHERS)
    others = others[agree(others)]
    shares = np.zeros(len(features))
    for at, feature in enumerate(features):
        given = np.repeat(others, len(rows), axis=0)
        given[:, feature] = np.tile(rows[:, feature], len(others))
        shares[at] = np.mean(~agree(given)) if len(given) else 0.0
    return shares


def _moved(values: Rows, steps: int) -> Rows:
    """Return values that many float32 further from zero, or nearer to it; those not finite stay as they are."""
    bits = np.maximum((values.view(np.int32) & 0x7FFFFFFF).astype(np.int64) + steps, 0)
    moved = np.copysign(bits.astype(np.uint32).view(np.float32), values)
    return np.where(np.isfinite(values), moved, values)
