"""Everything watched about one model version; a new version starts a new watch."""

from datetime import datetime, timedelta

from services.drift.champion import SCORE, Champion
from services.drift.decision import AlarmPolicy, Finding
from services.drift.distributions import Divergence, Window
from services.drift.performance import Outcome, PrecisionMonitor, RecallMonitor
from services.drift.settings import DriftSettings
from shared.contracts.events import Decision, FeatureVector
from shared.features.definitions import Field
from shared.features.state import category_value
from shared.models.manifest import MODEL_NAME, Reference
from shared.runtime.metrics import DRIFT_STATISTIC

RECALL_SIGNAL = "recall_cusum"


class Watch:
    """The windows and evidence about the champion."""

    def __init__(self, champion: Champion, settings: DriftSettings) -> None:
        self.champion = champion
        self.policy = AlarmPolicy(
            cooldown=timedelta(seconds=settings.headrace_drift_cooldown_seconds),
            retrain_on_distribution=settings.headrace_drift_retrain_on_distribution,
        )
        self._psi_threshold = settings.headrace_drift_psi_threshold
        self._windows = {
            name: Window(
                champion.references[name],
                days=settings.headrace_drift_window_days,
                samples_min=settings.headrace_drift_window_payments,
            )
            for name in (*champion.feature_names, SCORE)
        }
        self._recall = RecallMonitor(
            champion.recall,
            slack=settings.headrace_drift_recall_slack,
            false_alarm_labels=settings.headrace_drift_false_alarm_labels,
            window=settings.headrace_drift_recall_window,
        )
        self._precision = PrecisionMonitor(
            label_delay=timedelta(days=settings.headrace_drift_label_delay_days),
            window=settings.headrace_drift_recall_window,
            waiting_max=settings.headrace_drift_decisions_remembered,
        )
        self._newest_labelled: datetime | None = None

    def vector(self, vector: FeatureVector) -> list[Finding]:
        """Take in the features of a payment that came after the champion."""
        names = self.champion.feature_names
        if vector.feature_version != self.champion.feature_version or len(vector.values) != len(names):
            return []  # not the vectors that the references describe
        named = zip(names, vector.values, strict=True)
        return [finding for name, value in named for finding in self._value(name, vector.occurred_at, value)]

    def decision(self, decision: Decision, outcome: Outcome) -> list[Finding]:
        """Take in a decision of the champion."""
        precision = self._precision.observe(outcome)
        if precision is not None:
            _publish("precision", precision)
        return [] if decision.score is None else self._value(SCORE, decision.occurred_at, decision.score)

    def fraud(self, outcome: Outcome) -> list[Finding]:
        """Take in the label of a payment that the champion decided: it was fraud."""
        monitor, test = self._recall, self._recall.test
        monitor.observe(hit=outcome.flagged)
        newest = outcome.at if self._newest_labelled is None else max(self._newest_labelled, outcome.at)
        self._newest_labelled = newest
        _publish("recall", monitor.recall)
        _publish(RECALL_SIGNAL, test.statistic)
        if not test.fallen:
            return []
        hits, labels = test.successes_in_doubt, test.trials_in_doubt
        explanation = (
            f"Recall has fallen: of the last {labels} labelled frauds that model {MODEL_NAME} {self.champion.version} "
            f"decided, {hits} were reviewed or declined ({hits / labels:.0%}); on held-out payments it caught "
            f"{self.champion.recall:.0%}. The evidence (CUSUM, {test.statistic:.1f}) has reached the threshold "
            f"({test.threshold:.1f})."
        )
        return [Finding(RECALL_SIGNAL, test.statistic, test.threshold, labels, newest, explanation, harmful=True)]

    def _value(self, name: str, at: datetime, value: float) -> list[Finding]:
        window = self._windows[name]
        divergence = window.add(at, value)
        if divergence is None:
            return []
        signal = f"psi_{name}"
        _publish(signal, divergence.psi)
        if not divergence.whole or divergence.psi < self._psi_threshold:
            return []
        explanation = self._told(name, window, divergence)
        return [
            Finding(signal, divergence.psi, self._psi_threshold, divergence.samples, at, explanation, harmful=False)
        ]

    def _told(self, name: str, window: Window, divergence: Divergence) -> str:
        reference = window.reference
        changes = [abs(now - was) for now, was in zip(divergence.fractions, reference.fractions, strict=True)]
        largest = changes.index(max(changes))
        return (
            f"The distribution of {name} has moved since model {MODEL_NAME} {self.champion.version} was trained: "
            f"population stability index {divergence.psi:.2f} over {divergence.samples} payments, the threshold is "
            f"{self._psi_threshold:g}. The largest change: {_bin_name(name, reference, largest)} were "
            f"{reference.fractions[largest]:.1%} of payments and are {divergence.fractions[largest]:.1%}."
        )


def _bin_name(name: str, reference: Reference, at: int) -> str:
    """Tell which payments fall into a bin."""
    if reference.codes:
        is_named = at < len(reference.codes)
        return f"those with {name} {_category(name, reference.codes[at])}" if is_named else f"those with another {name}"
    low = f"from {reference.edges[at - 1]:g}" if at > 0 else ""
    high = f"below {reference.edges[at]:g}" if at < len(reference.edges) else ""
    return " ".join(["values", *filter(None, (low, high))])


def _category(name: str, code: int) -> str:
    """Return the category as the payment had it; the code, where a manifest names what is none of ours."""
    try:
        return category_value(Field(name), code)
    except ValueError:
        return f"of code {code}"


def _publish(signal: str, value: float) -> None:
    DRIFT_STATISTIC.labels(MODEL_NAME, signal).set(value)
