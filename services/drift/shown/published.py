"""What /metrics shows of the model that scores payments."""

from services.drift.labels.payments import Payments
from services.drift.watch import Watch
from shared.models.manifest import MODEL_NAME
from shared.runtime import metrics
from shared.runtime.clock import Clock

INTERVAL_SECONDS = 2.0
"""Statistics are published no more often: there are many of them."""


class Published:
    """Brings /metrics up to date with what is watched; its memory is of this process alone."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing published."""
        self._clock = clock
        self._published_seconds: float | None = None
        self._version = 0

    def publish(self, watch: Watch, payments: Payments) -> None:
        """Publish what is due."""
        now = self._clock.monotonic_seconds()
        is_new = watch.version != self._version
        if is_new:
            for gauge in (metrics.DRIFT_STATISTIC, metrics.DRIFT_EVIDENCE_DAYS, metrics.DRIFT_THRESHOLD_DAYS):
                gauge.remove_by_labels({"model": MODEL_NAME})
        if self._published_seconds is not None and not is_new and now - self._published_seconds < INTERVAL_SECONDS:
            return
        self._version, self._published_seconds = watch.version, now
        for signal in watch.signals():
            if signal.segment is None and signal.value is not None:
                metrics.DRIFT_STATISTIC.labels(MODEL_NAME, signal.name).set(signal.value)
        for family in watch.families():
            metrics.DRIFT_EVIDENCE_DAYS.labels(MODEL_NAME, family.name).set(family.evidence_days)
            metrics.DRIFT_THRESHOLD_DAYS.labels(MODEL_NAME, family.name).set(family.threshold_days)
        metrics.DRIFT_SAMPLED_SHARE.set(payments.sampled_share)


def count(watch: Watch, payments: Payments, counted: dict[str, int]) -> None:
    """Count on /metrics what has come since `counted`, and bring that up to date; one that begins anew is at 0."""
    lost = metrics.DRIFT_PAYMENTS_LOST
    for name, now, counter in (
        ("unmatched_labels", payments.unmatched_labels, metrics.UNMATCHED_LABELS.labels("drift")),
        ("contradictions", payments.contradictions, metrics.CONTRADICTED_LABELS),
        ("unjoined", payments.unjoined, lost.labels("unjoined")),
        ("misdated", payments.misdated, lost.labels("misdated")),
        *((reason, number, lost.labels(reason)) for reason, number in watch.lost.items()),
    ):
        before = counted.get(name, 0)
        counter.inc(now - before if now >= before else now)
        counted[name] = now
