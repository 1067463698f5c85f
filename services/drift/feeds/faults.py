"""Broken feeds: alarmed within a few hundred payments, so that no model is asked for that would learn from them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from services.drift.champion import Champion
from services.drift.evidence import Evidence
from services.drift.feeds.symptoms import GROUP, NEARLY_ALL, Symptoms
from services.drift.finding import Finding
from services.drift.signals import Signal

MANY, MANY_SHARE = 3, 0.25
"""So many feeds, this part of all, that are broken at once are told as one: what they are made from is broken."""
NAMED = 6
SIGNAL_OF_MANY = "feed_all"
HEALTHY_GROUPS = 5
"""A feed has recovered after so many groups in a row without the symptom."""

_DAY_SECONDS = 86_400
_STAKE_DAYS_MIN, _STAKE_DAYS_MAX = 1e-8, 1.0
"""A clock that jumps ahead places no more than a day's stake."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Fault:
    """A feed that is broken.

    feature: place in the vector. value: of the latest payment that showed it. groups: that showed it one after the
    other. healthy: groups since then that did not.
    """

    feature: int
    is_stuck: bool
    since: datetime
    at: datetime
    value: float
    statistic: float
    groups: int
    healthy: int = 0


class FaultWatch:
    """Looks for feeds that break."""

    name = "faults"

    def __init__(self, champion: Champion, *, threshold_days: float) -> None:
        """Start with every feed healthy; threshold_days: evidence at which it alarms."""
        self._champion = champion
        self._threshold_days = threshold_days
        features = len(champion.feature_names)
        self._symptoms = None if champion.profile is None else Symptoms(champion, champion.profile)
        self._evidence = Evidence(np.full(2 * features, 1 / (2 * features)))
        self._runs = np.zeros(2 * features, dtype=np.int64)
        self._begun = np.zeros(2 * features)
        self._shares = np.zeros(2 * features)
        self._newest_seconds: float | None = None
        self._waiting: Rows = np.empty((0, features), dtype=np.float32)
        self._waiting_us: Integers = np.empty(0, dtype=np.int64)
        self._before: Rows = np.full((1, features), np.nan, dtype=np.float32)
        self._faults: dict[int, _Fault] = {}

    def observe(self, rows: Floats, times_us: Integers) -> None:
        """Take in payments as they came. rows: shape (n, features). times_us: shape (n,), event times."""
        if self._symptoms is None:
            return
        rows32 = np.concatenate([self._waiting, rows.astype(np.float32)])
        seconds = np.concatenate([self._waiting_us, times_us])
        whole = len(rows32) // GROUP * GROUP
        self._waiting, self._waiting_us = rows32[whole:], seconds[whole:]
        if not whole:
            return
        groups = rows32[:whole].reshape(-1, GROUP, rows32.shape[1])
        before = np.concatenate([self._before, groups[:-1, -1]])
        self._before = groups[-1, -1:]
        observed = self._symptoms.observed(before, groups)
        ends = seconds[:whole].reshape(-1, GROUP) / 1e6
        for log_e, shares, own, last in zip(observed.log_e, observed.shares, ends, groups[:, -1], strict=True):
            self._shares = shares
            self._bet(log_e, own)
            self._judge(shares, float(own.max()), last)

    def active(self) -> bool:
        """Tell whether a feed is broken now."""
        return bool(self._faults)

    def findings(self) -> list[Finding]:
        """Return what is broken now: one finding a feed, or one for many of them together."""
        by_feature = {fault.feature: fault for fault in self._faults.values()}
        if len(by_feature) < max(MANY, MANY_SHARE * len(self._champion.feature_names)):
            return [self._finding(self._signal_of(at), fault, self._told(fault)) for at, fault in by_feature.items()]
        largest = max(by_feature.values(), key=lambda fault: fault.statistic)
        earliest = replace(largest, since=min(fault.since for fault in by_feature.values()))
        names = [self._champion.feature_names[at] for at in by_feature]
        told = (
            f"{len(names)} features are broken at once, among them {', '.join(names[:NAMED])}: what they are made "
            f"from is missing or wrong. {self._told(earliest)}"
        )
        return [self._finding(SIGNAL_OF_MANY, earliest, told)]

    def signals(self) -> list[Signal]:
        """Return one signal a feature: how many of the last GROUP payments show what training never saw."""
        broken = {fault.feature: fault for fault in self._faults.values()}
        is_blind = self._symptoms is None
        days = self._evidence.weighted_days.reshape(2, -1).max(axis=0)
        return [
            Signal(
                name=self._signal_of(at),
                kind="fault",
                state="blind" if is_blind else "alarmed" if at in broken else "quiet",
                value=None if is_blind else float(foreign),
                expected=None if is_blind else 0.0,
                evidence_days=broken[at].statistic if at in broken else float(days[at]),
                threshold_days=self._threshold_days,
                samples=0 if is_blind else GROUP,
                since=broken[at].since if at in broken else None,
                note="the model was trained before its ranges were kept: train the model again" if is_blind else "",
            )
            for at, foreign in enumerate(self._shares.reshape(2, -1)[1])
        ]

    def _bet(self, log_e: Floats, seconds: Floats) -> None:
        """Stake the time since the last group, and settle; log_e: shape (watches,). seconds: shape (GROUP,)."""
        newest = float(seconds.max())
        passed = 0.0 if self._newest_seconds is None else (newest - self._newest_seconds) / _DAY_SECONDS
        self._newest_seconds = newest
        self._evidence.stake(min(max(passed, _STAKE_DAYS_MIN), _STAKE_DAYS_MAX))
        self._evidence.observe(log_e, datetime.fromtimestamp(newest, UTC))
        is_hit = log_e > 0
        self._begun = np.where(is_hit & (self._runs == 0), seconds.min(), self._begun)
        self._runs = np.where(is_hit, self._runs + 1, np.where(log_e < 0, 0, self._runs))

    def _judge(self, shares: Floats, newest: float, last: Rows) -> None:
        """Note which feeds broke and which recovered, by a group's shares and its last payment."""
        days = self._evidence.weighted_days
        at = datetime.fromtimestamp(newest, UTC)
        for watch in np.flatnonzero(days >= self._threshold_days).tolist():
            feature = watch % len(last)
            since = datetime.fromtimestamp(float(self._begun[watch]), UTC)
            value, groups = float(last[feature]), int(self._runs[watch])
            is_stuck = watch < len(last)
            self._faults[watch] = _Fault(feature, is_stuck, since, at, value, float(days[watch]), groups)
        for watch, fault in list(self._faults.items()):
            healthy = fault.healthy + 1 if shares[watch] < NEARLY_ALL else 0
            self._faults[watch] = replace(fault, healthy=healthy)
            if healthy == HEALTHY_GROUPS:
                del self._faults[watch]

    def _finding(self, signal: str, fault: _Fault, told: str) -> Finding:
        return Finding(
            kind="fault",
            signal=signal,
            segment=None,
            statistic=fault.statistic,
            threshold=self._threshold_days,
            samples=fault.groups * GROUP,
            at=fault.at,
            since=fault.since,
            explanation=told,
        )

    def _signal_of(self, feature: int) -> str:
        return f"feed_{self._champion.feature_names[feature]}"

    def _told(self, fault: _Fault) -> str:
        name = self._champion.feature_names[fault.feature]
        return (
            f"The feed of {name} looks broken since {fault.since:%Y-%m-%d %H:%M} UTC: of the last "
            f"{fault.groups * GROUP} payments nearly all have {self._shown(fault)}. Nothing is learnt from it: while "
            f"it lasts no new model is asked for. Look at where {name} comes from."
        )

    def _shown(self, fault: _Fault) -> str:
        """Tell what the payments have, and how that was at training."""
        symptoms, at = self._symptoms, fault.feature
        if symptoms is None:
            return ""
        if fault.is_stuck:
            usual = symptoms.day_share(at, fault.value)
            return f"the value {fault.value:g}; at training at most {usual:.0%} of a day's had one like it"
        if not np.isfinite(fault.value):
            return "a value that is no number, which at training was rare or never so"
        if at in symptoms.known:
            return f"a category that training never met, as the code {fault.value:g}"
        low, high = symptoms.low[at], symptoms.high[at]
        return f"a value far from all that training saw, as {fault.value:g}; there they went from {low:g} to {high:g}"
