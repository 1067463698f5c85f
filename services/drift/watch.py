"""Everything watched about one version of the model that scores payments; a new version starts a new watch."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np

from services.drift.champion import Champion
from services.drift.data.segments import Integers, Segments
from services.drift.data.together import TogetherWatch
from services.drift.data.watch import DataWatch
from services.drift.decision import Found
from services.drift.evidence import Budget, Floats
from services.drift.feeds.broken_times import BrokenTimes
from services.drift.feeds.faults import SIGNAL_OF_MANY, FaultWatch
from services.drift.finding import Finding
from services.drift.isolation import Isolation
from services.drift.labels.payments import Payment, Payments, payments_of
from services.drift.labels.performance import PerformanceWatch
from services.drift.settings import DriftSettings
from services.drift.shown.status import Family
from services.drift.signals import Detector, Distribution, Signal
from shared.contracts.events import Decision, FeatureVector, Label
from shared.models.manifest import MODEL_NAME

SHARES = {"performance": 0.5, "data": 0.3, "together": 0.1, "faults": 0.1}
"""Each family's part of the budget."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Watch:
    """All detectors about the champion.

    One that raises an exception is taken out, with a word in the log and in `blind`; the others go on. While a feed is
    broken nothing is learnt from payments: neither what comes in nor what was decided about them is judged.
    """

    def __init__(self, champion: Champion, settings: DriftSettings, payments: Payments | None = None) -> None:
        """Start without evidence; payments: what is known of those before."""
        self.champion = champion
        self._settings = settings
        self._segments = Segments(champion)
        self._payments = payments or payments_of(settings)
        self._isolation = Isolation()
        self._broken_times = BrokenTimes()
        self._scored: list[Payment] = []
        self._newest: datetime | None = None
        self._data: DataWatch | None = None
        self._together: TogetherWatch | None = None
        self._faults: FaultWatch | None = None
        self._performance: PerformanceWatch | None = None
        self._start(tuple(SHARES))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Go on in another process; detectors that were taken out start anew."""
        self.__dict__.update(state)
        lost = tuple(self._isolation.lost)
        self._isolation.lost.clear()
        self._start(lost)

    @property
    def version(self) -> int:
        """Which version of the model is watched."""
        return self.champion.version

    @property
    def newest(self) -> datetime | None:
        """Event time of the latest payments, their median: one that is dated ahead does not count."""
        return self._newest

    @property
    def lost(self) -> dict[str, int]:
        """Payments that could not be judged, by reason."""
        out_of_calendar = 0 if self._data is None else self._data.out_of_calendar
        unjudged = 0 if self._performance is None else self._performance.unjudged
        return {"out_of_calendar": out_of_calendar, "unjudged": unjudged}

    def vectors(self, vectors: Sequence[FeatureVector]) -> None:
        """Take in the features of payments."""
        if not vectors:
            return
        times_us = np.array([(vector.occurred_at - _EPOCH) // _MICROSECOND for vector in vectors], dtype=np.int64)
        self._newest = _time(np.median(times_us))
        features = len(self.champion.feature_names)
        fitting = [
            at
            for at, vector in enumerate(vectors)
            if vector.feature_version == self.champion.feature_version and len(vector.values) == features
        ]
        rows = np.array([vectors[at].values for at in fitting], dtype=np.float64).reshape(len(fitting), features)
        places: list[tuple[int, ...]] = [()] * len(vectors)
        for at, of_row in zip(fitting, self._segments.of(rows).tolist(), strict=True):
            places[at] = tuple(of_row)
        if fitting:
            self._observe(rows, times_us[fitting])
        for vector, of_vector in zip(vectors, places, strict=True):
            paid = vector.transaction
            self._join(self._payments.vector(paid.transaction_id, vector.occurred_at, of_vector, paid.amount))

    def decision(self, decision: Decision) -> None:
        """Take in what was decided about a payment."""
        if decision.model_name == MODEL_NAME:
            self._join(self._payments.decision(decision))

    def label(self, label: Label) -> None:
        """Take in what a payment turned out to be."""
        labelled = self._payments.label(label)
        performance = self._performance
        if labelled is None or performance is None or self._broken_times.hold(labelled.payment.at):
            return
        if labelled.after == "fraud":
            self._isolation.run("performance", partial(performance.fraud, labelled.payment), None)
        elif labelled.before == "fraud":
            self._isolation.run("performance", partial(performance.contradicted, labelled.payment), None)

    def found(self) -> Found:
        """Return what stands at its threshold, by family."""
        self._catch_up()
        none: list[Finding] = []
        return {family: self._isolation.run(family, detector.findings, none) for family, detector in self._detectors()}

    def signals(self) -> list[Signal]:
        """Return every watch as it stands."""
        return [signal for signals in self._signals().values() for signal in signals]

    def families(self) -> list[Family]:
        """Return what evidence each family has; those that were taken out have none."""
        found = self.found()
        return [
            Family(
                name=family,
                evidence_days=max(
                    sum(signal.evidence_days for signal in signals),
                    max((finding.statistic for finding in found.get(family, ())), default=0.0),
                ),
                threshold_days=self._threshold_days(family),
            )
            for family, signals in self._signals().items()
        ]

    def distributions(self) -> list[Distribution]:
        """Return the features and the score of the last days, beside training."""
        self._catch_up()
        none: list[Distribution] = []
        return none if self._data is None else self._isolation.run("data", self._data.distributions, none)

    def blind(self) -> list[str]:
        """Tell what cannot be seen, and why."""
        told = self._isolation.told()
        if self._broken_times.since is not None:
            since = f"{self._broken_times.since:%Y-%m-%d %H:%M}Z"
            told.append(f"all but faults: payments since {since} are not judged while a feed is broken")
        for signal in self.signals():
            if signal.state == "blind":
                told.append(f"{signal.name}{'' if signal.segment is None else f' of {signal.segment}'}: {signal.note}")
        return told

    def broken(self) -> list[str]:
        """Return the feeds that are broken now, as their signals are named."""
        if self._broken_times.since is None or self._faults is None:
            return []
        none: list[Finding] = []
        findings = self._isolation.run("faults", self._faults.findings, none)
        names = ["many features" if it.signal == SIGNAL_OF_MANY else it.signal.removeprefix("feed_") for it in findings]
        return names or ["features"]

    def fresh_frauds(self, since: datetime | None) -> int | None:
        """Return how many frauds whose payments are not earlier are labelled."""
        performance = self._performance
        if performance is None:
            return 0
        return self._isolation.run("performance", partial(performance.fresh_frauds, since), 0)

    def estimates(self) -> str:
        """Tell what the scores alone say of performance."""
        performance = self._performance
        return "" if performance is None else self._isolation.run("performance", performance.estimates.told, "")

    def recalibrated(self, champion: Champion) -> None:
        """Go on with a version that is the one watched, but for its line, and perhaps its thresholds.

        With other thresholds other payments are flagged, so what the labels said of the ones before says no more.
        """
        is_decided_alike = champion.thresholds == self.champion.thresholds
        self.champion = champion
        if self._data is not None:
            self._isolation.run("data", partial(self._data.recalibrated, champion), None)
        if self._performance is not None and is_decided_alike:
            self._isolation.run("performance", partial(self._performance.recalibrated, champion), None)
        else:
            self._performance = self._isolation.run("performance", self._new_performance, None)

    def begin_again(self, families: Sequence[str]) -> None:
        """Forget the evidence of these families, which must build up anew."""
        if "performance" in families and self._performance is not None:
            self._isolation.run("performance", self._performance.reset, None)
        self._start([family for family in families if family != "performance"])

    def _start(self, families: Sequence[str]) -> None:
        """Put new detectors in the place of those of these families."""
        run = self._isolation.run
        if "performance" in families:
            self._performance = run("performance", self._new_performance, None)
        if "data" in families:
            self._data = run("data", self._new_data, None)
        if "together" in families:
            self._together = run("together", self._new_together, None)
        if "faults" in families:
            self._faults = run("faults", self._new_faults, None)

    def _observe(self, rows: Floats, times_us: Integers) -> None:
        """Hold the features of some payments against training. rows: shape (n, features). times_us: shape (n,)."""
        if self._faults is not None:
            faults = self._faults
            self._isolation.run("faults", partial(faults.observe, rows, times_us), None)
            if self._isolation.run("faults", faults.active, otherwise=False):
                none: list[Finding] = []
                found = self._isolation.run("faults", faults.findings, none)
                since = [finding.since for finding in found if finding.since is not None]
                self._broken_times.begin(min(since, default=_time(times_us.min())))
                return
            self._broken_times.end(_time(times_us.min()))
        if self._data is not None:
            self._isolation.run("data", partial(self._data.observe, rows, times_us), None)
        if self._together is not None:
            self._isolation.run("together", partial(self._together.observe, rows, times_us), None)

    def _join(self, payment: Payment | None) -> None:
        """Judge a payment that is whole now."""
        if payment is None or self._performance is None or self._broken_times.hold(payment.at):
            return
        self._isolation.run("performance", partial(self._performance.decided, payment), None)
        is_watched = payment.version == self.version and len(payment.places) == len(self._segments.features)
        if is_watched and payment.score is not None:
            self._scored.append(payment)

    def _catch_up(self) -> None:
        """Judge what was decided, and what has matured."""
        scored, self._scored = self._scored, []
        if scored and self._data is not None:
            scores = np.array([payment.score for payment in scored], dtype=np.float64)
            places = np.array([payment.places for payment in scored], dtype=np.int64).reshape(len(scored), -1)
            times_us = np.array([(payment.at - _EPOCH) // _MICROSECOND for payment in scored], dtype=np.int64)
            self._isolation.run("data", partial(self._data.observe_scores, scores, places, times_us), None)
        for payment in self._payments.matured():
            if self._performance is not None and not self._broken_times.hold(payment.at):
                self._isolation.run("performance", partial(self._performance.matured, payment), None)

    def _signals(self) -> dict[str, list[Signal]]:
        self._catch_up()
        none: list[Signal] = []
        return {family: self._isolation.run(family, detector.signals, none) for family, detector in self._detectors()}

    def _detectors(self) -> list[tuple[str, Detector]]:
        named: list[tuple[str, Detector | None]] = [
            ("performance", self._performance),
            ("data", self._data),
            ("together", self._together),
            ("faults", self._faults),
        ]
        lost = self._isolation.lost
        return [(family, detector) for family, detector in named if detector is not None and family not in lost]

    def _new_data(self) -> DataWatch:
        return DataWatch(
            self.champion,
            threshold_days=self._threshold_days("data"),
            psi_min=self._settings.headrace_drift_psi_min,
            day_payments_min=self._settings.headrace_drift_day_payments_min,
        )

    def _new_together(self) -> TogetherWatch:
        return TogetherWatch(
            self.champion,
            threshold_days=self._threshold_days("together"),
            day_payments_min=self._settings.headrace_drift_day_payments_min,
        )

    def _new_faults(self) -> FaultWatch:
        return FaultWatch(self.champion, threshold_days=self._threshold_days("faults"))

    def _new_performance(self) -> PerformanceWatch:
        return PerformanceWatch(
            self.champion,
            self._segments.names,
            threshold_days=self._threshold_days("performance"),
            settings=self._settings,
        )

    def _threshold_days(self, family: str) -> float:
        budget = Budget(self._settings.headrace_drift_needless_retrainings_a_quarter)
        return budget.threshold_days(SHARES[family])


def _time(times_us: float) -> datetime:
    return _EPOCH + int(times_us) * _MICROSECOND
