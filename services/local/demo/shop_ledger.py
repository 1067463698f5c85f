"""What the demo knows of its shop: which lists shoppers were shown, what they clicked, how soon a click told."""

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Answered(NamedTuple):
    """A list that a shopper was shown; times are monotonic seconds.

    changed: whether the tastes had changed when it was asked for.
    is_blind: whether the platform said that it was chosen without the shopper's history, which did not come in time.
    bought_shown: items in it that the shopper had bought before; of a blind list none counts.
    """

    at: float
    latency_ms: float
    model_version: int
    changed: bool
    is_clicked: bool
    is_blind: bool
    bought_shown: int


class Answers(NamedTuple):
    """What some lists come to: how many, the share that was clicked, latency, and what should never be in one."""

    lists: int
    click_through: float | None
    latency_ms: tuple[float, float] | None
    blind: int
    bought_shown: int


def answers_of(answered: Sequence[Answered]) -> Answers:
    """Sum up; latency is the 50th and 99th percentile."""
    if not answered:
        return Answers(0, None, None, 0, 0)
    p50, p99 = np.percentile([one.latency_ms for one in answered], (50, 99))
    clicked = sum(one.is_clicked for one in answered)
    return Answers(
        lists=len(answered),
        click_through=clicked / len(answered),
        latency_ms=(float(p50), float(p99)),
        blind=sum(one.is_blind for one in answered),
        bought_shown=sum(one.bought_shown for one in answered),
    )


class ShopLedger:
    """Every list shown, and every click that was followed until it told; used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered: list[Answered] = []
        self._told_ms: list[float] = []
        self._unnamed = 0

    def answer(self, answered: Answered, *, is_named: bool) -> None:
        """Note a list; is_named: whether it had a `recommendation_id`."""
        with self._lock:
            self._answered.append(answered)
            self._unnamed += not is_named

    def tell(self, milliseconds: float) -> None:
        """Note how long after ingest had taken a click the item was in no answer any more."""
        with self._lock:
            self._told_ms.append(milliseconds)

    def answered(self, since: int = 0) -> list[Answered]:
        """Return the lists in the order shown, from the `since`-th on."""
        with self._lock:
            return self._answered[since:]

    def told_ms(self) -> tuple[float, float] | None:
        """Return the 50th and 99th percentile of what `tell` noted; None before the first."""
        with self._lock:
            told_ms = list(self._told_ms)
        if not told_ms:
            return None
        p50, p99 = np.percentile(told_ms, (50, 99))
        return float(p50), float(p99)

    @property
    def unnamed(self) -> int:
        """Lists without a `recommendation_id`."""
        return self._unnamed

    @property
    def newest_version(self) -> int:
        """Version of the model that chose the newest list; 0 when there is none."""
        with self._lock:
            return self._answered[-1].model_version if self._answered else 0


def by_model(answered: Sequence[Answered]) -> list[tuple[bool, int, list[Answered]]]:
    """Group by whether the tastes had changed and by model version, in this order."""
    stretches = sorted({(one.changed, one.model_version) for one in answered})
    return [
        (changed, version, [one for one in answered if (one.changed, one.model_version) == (changed, version)])
        for changed, version in stretches
    ]
