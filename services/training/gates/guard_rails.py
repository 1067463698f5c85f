"""What a model must keep to, however well it ranks: time for a payment, calibration, and no segment left behind."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.evaluation.bootstrap import Interval, card_places, intervals
from services.training.evaluation.ranking import ranking
from shared.models.session import OnnxModel

TIMED_CALLS = 300
SEGMENT_FRAUDS_MIN = 20
RESAMPLES = 200

Scores = npt.NDArray[Any]


class GuardRail(NamedTuple):
    """One check of a model, and how it came out."""

    name: str
    passed: bool
    explanation: str


def latency(
    model: OnnxModel, row: npt.NDArray[np.float32], *, microseconds_max: float, monotonic_seconds: Callable[[], float]
) -> GuardRail:
    """Time the model on one payment at a time, as scoring calls it. row: shape (1, features)."""
    seconds = np.empty(TIMED_CALLS)
    for at in range(TIMED_CALLS):
        begun = monotonic_seconds()
        model.scores(row)
        seconds[at] = monotonic_seconds() - begun
    median, p99 = np.percentile(seconds, [50, 99]) * 1e6
    return GuardRail(
        "latency",
        bool(median <= microseconds_max),
        f"one payment takes {median:.0f} us (p99 {p99:.0f} us), at most {microseconds_max:.0f} us are allowed",
    )


def calibration(error: float, *, error_max: float) -> GuardRail:
    """Check the expected calibration error, a share."""
    return GuardRail(
        "calibration",
        bool(error <= error_max),
        f"scores are off the share of fraud by {error:.3f} on average, at most {error_max:g} is allowed",
    )


def better_than_chance(average_precision_low: float, fraud_rate: float) -> GuardRail:
    """Check that a model ranks at all; average_precision_low: the lower end of its interval."""
    return GuardRail(
        "better than chance",
        bool(average_precision_low > fraud_rate),
        f"average precision is at least {average_precision_low:.3f}, chance gives {fraud_rate:.3f}",
    )


def worst_segment(
    champion: Scores,
    challenger: Scores,
    frauds: npt.NDArray[np.int8],
    cards: npt.NDArray[np.int64],
    segments: Iterable[tuple[str, npt.NDArray[np.bool_]]],
    *,
    loss_max: float,
) -> GuardRail:
    """Check that the challenger is in no segment surely more than `loss_max` in average precision below the champion.

    champion, challenger, frauds, cards: shape (n,). segments: names, and which payments are in each. Surely: so is the
    whole 95 % interval of the loss, by resampling cards. Segments with under SEGMENT_FRAUDS_MIN frauds cannot tell.
    """
    told = [
        (_lost(champion[taken], challenger[taken], frauds[taken], cards[taken]), name, int(frauds[taken].sum()))
        for name, taken in segments
        if SEGMENT_FRAUDS_MIN <= frauds[taken].sum() < taken.sum()
    ]
    if not told:
        return GuardRail("worst segment", True, f"no segment has the {SEGMENT_FRAUDS_MIN} frauds that it takes to tell")
    lost, name, found = max(told, key=lambda segment: segment[0].low)
    return GuardRail(
        "worst segment",
        bool(lost.low <= loss_max),
        f"{name} ({found} frauds) loses {lost.value:+.3f} in average precision, surely at least {lost.low:+.3f}; "
        f"at most {loss_max:g} is allowed",
    )


def _lost(champion: Scores, challenger: Scores, frauds: npt.NDArray[np.int8], cards: npt.NDArray[np.int64]) -> Interval:
    """Return the champion's average precision less the challenger's."""
    places, count = card_places(cards)
    before, after = ranking(champion, frauds, places), ranking(challenger, frauds, places)
    (lost,) = intervals(lambda counts: [before(counts)[0] - after(counts)[0]], count, resamples=RESAMPLES, seed=0)
    return lost
