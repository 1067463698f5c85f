"""Payments that a model has scored: what every figure of this package is computed from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.training.refusal import RefusedError

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Scored:
    """Payments with their scores and the truth about them.

    frauds: shape (n,), 1 for fraud. scores: shape (n,). cards: shape (n,), a number a card. times: shape (n,), event
    time in microseconds. amounts: shape (n,), minor units. rows: shape (n, features), where segments are wanted.

    Raises:
        ValueError: the shapes differ.
        RefusedError: a score is not a number.
    """

    frauds: npt.NDArray[np.int8]
    scores: npt.NDArray[np.float32]
    cards: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    amounts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        columns = (self.frauds, self.scores, self.cards, self.times, self.amounts)
        lengths = {len(column) for column in columns} | ({len(self.rows)} if self.rows is not None else set())
        if len(lengths) != 1:
            raise ValueError(f"scored payments have columns of different lengths: {sorted(lengths)}")
        unfit = int((~np.isfinite(self.scores)).sum())
        if unfit:
            raise RefusedError(
                "scores",
                f"{unfit} of {len(self.scores)} scores are not finite numbers; "
                "look for values in the training data that are missing or beyond float32",
            )

    def part(self, taken: npt.NDArray[np.bool_]) -> "Scored":
        """Return the payments where `taken`."""
        return Scored(
            self.frauds[taken],
            self.scores[taken],
            self.cards[taken],
            self.times[taken],
            self.amounts[taken],
            None if self.rows is None else self.rows[taken],
        )

    def at_or_above(self, threshold: float) -> npt.NDArray[np.bool_]:
        """Return which payments a threshold takes, shape (n,)."""
        # A Python float would be rounded to float32 first, and could then take the next lower score too.
        return self.scores >= np.float64(threshold)

    @property
    def days(self) -> npt.NDArray[np.int64]:
        """The day (UTC) of each payment, counted from 1970, shape (n,)."""
        return self.times // DAY_US

    @property
    def length_days(self) -> float:
        """How many days the payments span, at least 1."""
        return max(1.0, float(self.times.max() - self.times.min()) / DAY_US)


def require_both_classes(scored: Scored) -> None:
    """Raise RefusedError where the payments are not both fraud and genuine."""
    frauds, payments = int(scored.frauds.sum()), len(scored.frauds)
    if frauds in (0, payments):
        raise RefusedError(
            "one_class",
            f"{frauds} of the {payments} scored payments are fraud; a model is measured on both kinds: "
            "wait for more labels, or test on a longer period",
        )
