"""What is watched of a champion by its labels, what its manifest promises, and how much each counts."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from services.drift.champion import Champion
from services.drift.labels.trials import Excess, Seen, Share

WEIGHTS = {"recall": 0.5, "precision": 0.25, "calibration": 0.25}
"""Parts of the family's evidence; half of each is the whole's, half the segments'."""

_ERROR_RATE_DEFAULT, _ERROR_RATE_MIN, _ERROR_RATE_MAX = 0.01, 1e-4, 0.5


class Measured(NamedTuple):
    """A measure over everything (segment None) or a segment; weight: its part of the family's evidence."""

    measure: str
    segment: str | None
    weight: float
    watch: Share | Excess

    @property
    def days(self) -> float:
        """Its part of the family's evidence, in days."""
        return self.weight * self.watch.bets.days

    def in_doubt(self) -> Seen:
        """Return what was seen since it began to speak against the model."""
        since = self.watch.bets.since
        return Seen() if since is None else self.watch.tally.since(since)


def shares_of(champion: Champion, segments: int, *, slack: float) -> dict[tuple[str, int], Share]:
    """Return recall and precision by measure and place, 0 for everything; none of what the manifest does not have.

    slack: share of what held-out payments gave that may be missing.
    """
    shares = {}
    for measure in ("recall", "precision"):
        expected = (1 - slack) * champion.intervals.get(measure, (champion.metrics.get(measure, 0.0), 0.0))[0]
        if 0 < expected <= 1:
            shares[measure, 0] = Share(expected)
            shares |= {(measure, 1 + at): Share(None, expected_max=expected) for at in range(segments)}
    return shares


def measured(
    shares: Mapping[tuple[str, int], Share], excesses: list[Excess], segment_names: tuple[str, ...]
) -> Iterator[Measured]:
    """Yield all watches with their weights; shares, excesses: by place."""
    watches: dict[tuple[str, int], Share | Excess] = {**shares}
    watches |= {("calibration", place): excess for place, excess in enumerate(excesses)}
    for (measure, place), watch in watches.items():
        part = 1.0 if not segment_names else 0.5 if place == 0 else 0.5 / len(segment_names)
        yield Measured(measure, segment_names[place - 1] if place else None, WEIGHTS[measure] * part, watch)


def error_rate_of(champion: Champion) -> float:
    """Return the share of payments that the model decided wrongly among the held-out ones."""
    recall, precision, fraud_rate = (champion.metrics.get(name, 0.0) for name in ("recall", "precision", "fraud_rate"))
    if not (recall and precision and fraud_rate):
        return _ERROR_RATE_DEFAULT
    wrong = fraud_rate * (1 - recall) + fraud_rate * recall * (1 / precision - 1)
    return min(max(wrong, _ERROR_RATE_MIN), _ERROR_RATE_MAX)
