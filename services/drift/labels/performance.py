"""How well a model does by the labels that have come: recall, precision and calibration, as a whole and by segment."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import numpy as np

from services.drift.champion import Champion
from services.drift.finding import Finding
from services.drift.labels.estimates import Estimates
from services.drift.labels.measures import Measured, error_rate_of, measured, shares_of
from services.drift.labels.payments import EventTime, Payment
from services.drift.labels.telling import told
from services.drift.labels.trials import Excess, Seen
from services.drift.labels.witnesses import Witnesses
from services.drift.settings import DriftSettings
from services.drift.signals import Signal

CALIBRATION_TOLERANCE = 1.5
"""So many times its score a payment may be fraud, beside the calibration error on held-out payments."""
SILENCE_MIN = timedelta(days=3)
"""When no label comes for longer, and for more than half the label delay, what matures meanwhile is not judged."""
BLIND_DELAYS = 3
"""No label for so many label delays: the watch is blind."""

_SCORED_SHOWN = 20  # times as many payments are behind the calibration that is shown: few of them are fraud
_WAITING_MAX = 50_000
_JUDGED_TOGETHER = 1_000
_REMEMBERED_MAX = 20_000

K = TypeVar("K")
V = TypeVar("V")


class PerformanceWatch:
    """Bets against "the model does as well as on held-out payments", for one model version.

    recall: of labelled frauds, those reviewed or declined. precision: of reviewed or declined payments whose label
    delay is over, the frauds. calibration: of payments whose label delay is over, those that are fraud, the first of a
    card's day, against what the scores allow. Expected is the lower end of the interval on held-out payments, less the
    slack; in a segment, what its first labels promise.

    Payments are judged when the next fraud label comes: so labels that stop coming do not look like a model that flags
    for nothing. unjudged: how many were left out, since none came for long.
    """

    name = "performance"

    def __init__(
        self, champion: Champion, segment_names: Sequence[str], *, threshold_days: float, settings: DriftSettings
    ) -> None:
        """Start without evidence; segment_names: as Segments.names."""
        self._champion = champion
        self._threshold_days = threshold_days
        self._shown = settings.headrace_drift_recall_window
        self._label_delay = timedelta(days=settings.headrace_drift_label_delay_days)
        self._time = EventTime()
        self._shares = shares_of(champion, len(segment_names), slack=settings.headrace_drift_recall_slack)
        self._excesses = [Excess(is_learnt=place > 0) for place in range(1 + len(segment_names))]
        self._watched = list(measured(self._shares, self._excesses, tuple(segment_names)))
        self._calibration_error = champion.metrics.get("expected_calibration_error", 0.0)
        self._witnesses = Witnesses(error_rate_of(champion))
        self.estimates = Estimates(champion, self._time, threshold_days=threshold_days)
        self._waiting: deque[Payment] = deque(maxlen=_WAITING_MAX)
        self._judgeable: list[Payment] = []
        self._judged_flagged: OrderedDict[str, None] = OrderedDict()
        self._fraud_card_days: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._frauds: OrderedDict[str, datetime] = OrderedDict()
        self._labelled_seconds: float | None = None
        self._matured_since_label = 0
        self.unjudged = 0

    def decided(self, payment: Payment) -> None:
        """Take in a payment once it was decided; its label may have come before."""
        self._time.observe(payment.at)
        if self._labelled_seconds is None:
            self._labelled_seconds = payment.at.timestamp()
        if self._is_own(payment):
            self.estimates.observe(payment)
        if payment.label == "fraud":
            self.fraud(payment)

    def fraud(self, payment: Payment) -> None:
        """Take in that a payment is labelled fraud; those of other versions only count as fresh frauds."""
        _remember(self._frauds, payment.transaction_id, payment.at)
        self._end_waiting(self._now_seconds(payment))
        if self._is_own(payment):
            self._observe("recall", payment, Seen(1, payment.flagged))
            if payment.transaction_id in self._judged_flagged:
                self._observe("precision", payment, Seen(0, 1))

    def matured(self, payment: Payment) -> None:
        """Take in a payment whose label delay is over."""
        self._matured_since_label += 1
        if self._is_own(payment):
            self.unjudged += len(self._waiting) == _WAITING_MAX
            self._waiting.append(payment)

    def contradicted(self, payment: Payment) -> None:
        """Take in that a payment that was labelled fraud is genuine."""
        self._frauds.pop(payment.transaction_id, None)
        if self._is_own(payment):
            self._observe("recall", payment, Seen(-1, -int(payment.flagged)))
            if payment.transaction_id in self._judged_flagged:
                self._observe("precision", payment, Seen(0, -1))

    def fresh_frauds(self, since: datetime | None) -> int:
        """Return how many labelled frauds, of any version, happened at `since` or later; all of them without a time."""
        return len(self._frauds) if since is None else sum(at >= since for at in self._frauds.values())

    def recalibrated(self, champion: Champion) -> None:
        """Go on with what `champion` decides, which is the version watched but for its line."""
        self._champion = champion

    def reset(self) -> None:
        """Forget the evidence, as when what it asked for was refused; what was learnt stays."""
        for watched in self._watched:
            watched.watch.reset()

    def findings(self) -> list[Finding]:
        """Return the leading watch, when those that see something worse have evidence enough together."""
        self._judge()
        if sum(watched.days for watched in self._watched) < self._threshold_days or self._labelled_seconds is None:
            return []
        worse = [watched for watched in self._watched if watched.watch.level(watched.in_doubt()).is_worse]
        evidence_days = sum(watched.days for watched in worse)
        if evidence_days < self._threshold_days:
            return []
        leading = max(worse, key=lambda watched: watched.days)
        seen = leading.in_doubt()
        return [
            Finding(
                kind="performance",
                signal=leading.measure,
                segment=leading.segment,
                statistic=evidence_days,
                threshold=self._threshold_days,
                samples=int(seen.trials),
                at=datetime.fromtimestamp(self._labelled_seconds, UTC),
                since=leading.watch.bets.since,
                explanation=told(leading, self._champion.version, seen, evidence_days=evidence_days),
            )
        ]

    def signals(self) -> list[Signal]:
        """Return recall, precision and calibration, as a whole and by segment, the errors, and the estimates."""
        alarmed = [(finding.signal, finding.segment) for finding in self.findings()]
        silence = self._silence()
        signals = [
            self._signal(watched, silence, is_alarmed=(watched.measure, watched.segment) in alarmed)
            for watched in self._watched
        ]
        signals += [self._missing(name) for name in ("recall", "precision") if (name, 0) not in self._shares]
        return [*signals, self._errors(silence), *self.estimates.signals()]

    def _is_own(self, payment: Payment) -> bool:
        return payment.version == self._champion.version and payment.score is not None

    def _now_seconds(self, payment: Payment) -> float:
        now_seconds = self._time.now_seconds
        return payment.at.timestamp() if now_seconds is None else now_seconds

    def _observe(self, measure: str, payment: Payment, change: Seen) -> None:
        for place in _places(payment):
            share = self._shares.get((measure, place))
            if share is not None:
                share.observe(payment.card_id, payment.at, change, self._now_seconds(payment))

    def _end_waiting(self, now_seconds: float) -> None:
        """Let what has matured be judged: labels come, so a payment without one was genuine."""
        silent_seconds = now_seconds - (now_seconds if self._labelled_seconds is None else self._labelled_seconds)
        self._labelled_seconds, self._matured_since_label = now_seconds, 0
        if silent_seconds > max(SILENCE_MIN, self._label_delay / 2).total_seconds():
            self.unjudged += len(self._waiting)
        else:
            self._judgeable += self._waiting
        self._waiting.clear()
        if len(self._judgeable) >= _JUDGED_TOGETHER:
            self._judge()

    def _judge(self) -> None:
        payments, self._judgeable = self._judgeable, []
        if payments:
            self._judge_calibration(payments)
        for payment in payments:
            is_fraud = payment.label == "fraud"
            self._witnesses.observe(is_error=payment.flagged != is_fraud, at=payment.at)
            if payment.flagged:
                _remember(self._judged_flagged, payment.transaction_id, None)
                self._observe("precision", payment, Seen(1, is_fraud))

    def _judge_calibration(self, payments: list[Payment]) -> None:
        frauds = np.array(
            [payment.label == "fraud" and self._is_first_fraud(payment) for payment in payments], dtype=float
        )
        scores = np.array([payment.score for payment in payments], dtype=np.float64)
        allowed = np.minimum(CALIBRATION_TOLERANCE * scores + self._calibration_error, 1.0)
        rows: list[list[int]] = [[] for _ in self._excesses]
        for row, payment in enumerate(payments):
            for place in _places(payment):
                rows[place].append(row)
        for excess, taken in zip(self._excesses, rows, strict=True):
            if taken:
                excess.observe(frauds[taken], allowed[taken], payments[-1].at, self._now_seconds(payments[-1]))

    def _is_first_fraud(self, payment: Payment) -> bool:
        key = payment.card_id, payment.at.toordinal()
        if key in self._fraud_card_days:
            return False
        _remember(self._fraud_card_days, key, None)
        return True

    def _silence(self) -> str:
        """Return since when no label has come, where that is too long to see anything; else nothing."""
        now_seconds = self._time.now_seconds
        if now_seconds is None or self._labelled_seconds is None or not self._matured_since_label:
            return ""
        if now_seconds - self._labelled_seconds <= BLIND_DELAYS * self._label_delay.total_seconds():
            return ""
        return (
            f"no fraud label has come since {datetime.fromtimestamp(self._labelled_seconds, UTC):%Y-%m-%d}, though the "
            f"label delay of {self._matured_since_label} payments is over since: check where labels come from"
        )

    def _signal(self, watched: Measured, silence: str, *, is_alarmed: bool) -> Signal:
        watch = watched.watch
        seen = watch.tally.latest(self._shown * (_SCORED_SHOWN if watched.measure == "calibration" else 1))
        value, expected, _ = watch.level(seen)
        is_learning = watch.is_learning
        return Signal(
            name=watched.measure,
            kind="performance",
            segment=watched.segment,
            state="alarmed" if is_alarmed else "blind" if silence else "learning" if is_learning else "quiet",
            value=value,
            expected=expected,
            evidence_days=watched.days,
            threshold_days=self._threshold_days,
            samples=int(seen.trials),
            since=watch.bets.since,
            note=silence or ("learning the segment's level from its first labels" if is_learning else ""),
        )

    def _missing(self, measure: str) -> Signal:
        return Signal(
            name=measure,
            kind="performance",
            state="blind",
            threshold_days=self._threshold_days,
            note=f"the manifest of version {self._champion.version} has no {measure}: train the model again",
        )

    def _errors(self, silence: str) -> Signal:
        witnesses = self._witnesses
        return Signal(
            name="error",
            kind="performance",
            state="blind" if silence else "quiet",
            value=witnesses.error_rate if witnesses.payments else None,
            expected=witnesses.expected,
            threshold_days=self._threshold_days,
            samples=witnesses.payments,
            note=silence or witnesses.told(),
        )


def _places(payment: Payment) -> tuple[int, ...]:
    return (0, *(place for place in payment.places if place))


def _remember(remembered: OrderedDict[K, V], key: K, value: V) -> None:
    remembered[key] = value
    if len(remembered) > _REMEMBERED_MAX:
        remembered.popitem(last=False)
