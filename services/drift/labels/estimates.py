"""How well the model does by its own scores, before any label: confidence-based performance estimation.

A calibrated score is the probability that the payment is fraud, so the scores of a day say how many frauds were caught
and missed (Kivimäki, Białek, Nurminen and Kuberski, "Confidence-based Estimators for Predictive Performance in Model
Monitoring", Journal of Artificial Intelligence Research, 2025; the CBPE of NannyML). They follow a change of what comes
in; they cannot see that payments of one and the same look have become fraud, which only labels tell.
"""

from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.drift.champion import Champion
from services.drift.labels.payments import EventTime, Payment
from services.drift.signals import Signal

STATEMENT = "estimated from the scores, before labels; blind to concept drift: a new kind of fraud that scores low"
DAYS_SHOWN = 7

Counts = npt.NDArray[np.float64]

_DAYS_REMEMBERED = 30
_BATCH = 2_048
_LOG_ODDS_MAX = 12.0
_BINS = 96
_SECONDS_A_DAY = timedelta(days=1).total_seconds()


class Estimated(NamedTuple):
    """Of some payments; None where it cannot be told.

    auc: the area under the ROC curve. flagged: share reviewed or declined.
    """

    payments: int
    recall: float | None
    precision: float | None
    fraud_rate: float | None
    auc: float | None
    flagged: float | None


class Estimates:
    """Estimates by day from the decisions of one model version, the last DAYS_SHOWN days together; none alarms."""

    def __init__(self, champion: Champion, time: EventTime, *, threshold_days: float) -> None:
        """Start; time: kept by the caller. threshold_days: of the family that these are shown with."""
        self._time = time
        self._expected = _expected(champion)
        self._threshold_days = threshold_days
        self._pending: list[tuple[float, float, bool]] = []
        self._days: dict[int, Counts] = {}

    def observe(self, payment: Payment) -> None:
        """Take in a decision of the model; one without a score says nothing."""
        if payment.score is None:
            return
        self._pending.append((payment.at.timestamp(), payment.score, payment.flagged))
        if len(self._pending) >= _BATCH:
            self._count()

    def now(self) -> Estimated:
        """Return the estimate over the last DAYS_SHOWN days."""
        self._count()
        shown = [counts for day, counts in self._days.items() if day > self._today() - DAYS_SHOWN]
        return _estimated(np.sum(shown, axis=0) if shown else np.zeros((_BINS, 4)))

    def signals(self) -> list[Signal]:
        """Return the estimates beside what held-out payments gave."""
        now = self.now()
        values = {name: value for name, value in now._asdict().items() if name != "payments"}
        return [
            Signal(
                name=f"estimated_{name}",
                kind="data",
                state="quiet" if now.payments else "learning",
                value=value,
                expected=self._expected.get(name),
                threshold_days=self._threshold_days,
                samples=now.payments,
                note=STATEMENT,
            )
            for name, value in values.items()
        ]

    def told(self) -> str:
        """Return the estimate of recall in a sentence, for an alarm about what comes in; empty when there is none."""
        now, expected = self.now(), self._expected.get("recall")
        if now.recall is None:
            return ""
        held_out = "" if expected is None else f" (held-out payments: {expected:.0%})"
        return (
            f"By the scores of the last {now.payments} payments the model still catches {now.recall:.0%} of fraud"
            f"{held_out}; that is {STATEMENT}."
        )

    def _count(self) -> None:
        if not self._pending:
            return
        seconds, scores, flagged = np.array(self._pending, dtype=np.float64).T
        self._pending.clear()
        log_odds = np.log(np.maximum(scores, 1e-12)) - np.log(np.maximum(1 - scores, 1e-12))
        bins = np.clip((log_odds / _LOG_ODDS_MAX + 1) / 2 * _BINS, 0, _BINS - 1).astype(np.int64)
        days = (seconds // _SECONDS_A_DAY).astype(np.int64)
        columns = (np.ones(len(scores)), scores, flagged, flagged * scores)
        today = self._today()
        for day in np.unique(days[days <= today + 1]).tolist():  # a day ahead is a wrong date
            of_day = days == day
            added = [np.bincount(bins[of_day], column[of_day], minlength=_BINS) for column in columns]
            counts: Counts = np.stack(added, axis=1).astype(np.float64)
            self._days[day] = self._days[day] + counts if day in self._days else counts
        self._days = {day: counts for day, counts in self._days.items() if today - _DAYS_REMEMBERED < day <= today + 1}

    def _today(self) -> int:
        return int((self._time.now_seconds or 0.0) // _SECONDS_A_DAY)


def _estimated(counts: Counts) -> Estimated:
    """Return the estimate from sums by bin of score, shape (bins, 4): payments, scores; flagged ones, their scores."""
    payments, frauds, flagged, caught = counts.sum(axis=0).tolist()
    frauds_by_bin, genuine_by_bin = counts[:, 1], counts[:, 0] - counts[:, 1]
    below = np.cumsum(genuine_by_bin) - genuine_by_bin / 2
    genuine = payments - frauds
    return Estimated(
        payments=int(payments),
        recall=caught / frauds if frauds else None,
        precision=caught / flagged if flagged else None,
        fraud_rate=frauds / payments if payments else None,
        auc=float(frauds_by_bin @ below) / (frauds * genuine) if frauds * genuine > 0 else None,
        flagged=flagged / payments if payments else None,
    )


def _expected(champion: Champion) -> dict[str, float]:
    """Return what held-out payments gave, by the names of Estimated, as far as the manifest has it."""
    named = {"recall": "recall", "precision": "precision", "fraud_rate": "mean_score", "auc": "auc_roc"}
    found = {name: champion.metrics[key] for name, key in named.items() if key in champion.metrics}
    recall, precision, fraud_rate = (champion.metrics.get(name, 0.0) for name in ("recall", "precision", "fraud_rate"))
    return found | ({"flagged": recall * fraud_rate / precision} if recall and precision and fraud_rate else {})
