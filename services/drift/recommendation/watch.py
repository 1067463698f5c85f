"""Everything watched about one version of the model that recommends; a new version starts a new watch."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from services.drift.decision import Found
from services.drift.evidence import Budget
from services.drift.finding import Finding
from services.drift.isolation import Isolation
from services.drift.recommendation.click_through import CLICK_THROUGH, ClickThrough
from services.drift.recommendation.clicks import Shown
from services.drift.recommendation.coverage import COVERAGE, Coverage
from services.drift.settings import DriftSettings
from services.drift.shown.status import Family
from services.drift.signals import Signal
from shared.models.manifest import RECOMMENDATION
from shared.runtime import metrics

SHARES = {CLICK_THROUGH: 0.7, COVERAGE: 0.3}
"""Each family's part of the budget."""


class RecommendationWatch:
    """Holds what a version's lists come to against what its first ones did."""

    def __init__(self, version: int, settings: DriftSettings) -> None:
        """Start without evidence."""
        budget = Budget(settings.headrace_drift_needless_retrainings_a_quarter)
        self._detectors: dict[str, ClickThrough | Coverage] = {
            CLICK_THROUGH: ClickThrough(version, settings, threshold_days=budget.threshold_days(SHARES[CLICK_THROUGH])),
            COVERAGE: Coverage(version, settings, threshold_days=budget.threshold_days(SHARES[COVERAGE])),
        }
        self._isolation = Isolation()
        self._version = version
        self._newest: datetime | None = None

    @property
    def version(self) -> int:
        """Which version of the model is watched."""
        return self._version

    @property
    def newest(self) -> datetime | None:
        """Event time of the latest list that was judged."""
        return self._newest

    def observe(self, shown: Shown) -> None:
        """Take in a list of this version whose time for clicks is over."""
        self._newest = shown.at if self._newest is None else max(self._newest, shown.at)
        for family, detector in self._detectors.items():
            self._isolation.run(family, partial(detector.observe, shown), None)

    def found(self) -> Found:
        """Return what stands at its threshold, by family."""
        none: list[Finding] = []
        return {
            family: self._isolation.run(family, detector.findings, none) for family, detector in self._detectors.items()
        }

    def signals(self) -> list[Signal]:
        """Return every watch as it stands."""
        none: list[Signal] = []
        return [
            signal
            for family, detector in self._detectors.items()
            for signal in self._isolation.run(family, detector.signals, none)
        ]

    def families(self) -> list[Family]:
        """Return what evidence each family has."""
        return [
            Family(name=signal.name, evidence_days=signal.evidence_days, threshold_days=signal.threshold_days)
            for signal in self.signals()
        ]

    def blind(self) -> list[str]:
        """Tell what cannot be seen, and why."""
        return self._isolation.told()

    def broken(self) -> Sequence[str]:
        """Return no feed: what is shown and clicked comes without features."""
        return ()

    def fresh_frauds(self, _: datetime | None) -> int | None:
        """Return None: what recommends does not learn from frauds."""
        return None

    def estimates(self) -> str:
        """Tell nothing: clicks come at once, so none are estimated."""
        return ""

    def begin_again(self, families: Sequence[str]) -> None:
        """Forget the evidence of these families, which must build up anew."""
        for family in families:
            self._isolation.run(family, self._detectors[family].reset, None)

    def publish(self) -> None:
        """Bring /metrics up to date."""
        for signal in self.signals():
            metrics.DRIFT_EVIDENCE_DAYS.labels(RECOMMENDATION, signal.name).set(signal.evidence_days)
            metrics.DRIFT_THRESHOLD_DAYS.labels(RECOMMENDATION, signal.name).set(signal.threshold_days)
            if signal.value is not None:
                metrics.DRIFT_STATISTIC.labels(RECOMMENDATION, signal.name).set(signal.value)
            if signal.name == CLICK_THROUGH and signal.value is not None:
                metrics.CLICK_THROUGH_RATIO.labels(RECOMMENDATION).set(signal.value)
        coverage = self._isolation.run(COVERAGE, self._coverage_ratio, None)
        if coverage is not None:
            metrics.COVERAGE_RATIO.labels(RECOMMENDATION).set(coverage)

    def _coverage_ratio(self) -> float | None:
        coverage = self._detectors[COVERAGE]
        return coverage.ratio if isinstance(coverage, Coverage) else None
