"""Stable streams: how many alarms nobody needed, beside the budget and what others raise."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from joblib import Parallel, delayed
from river.drift import ADWIN, PageHinkley

from services.drift.evidence import QUARTER_DAYS
from services.drift.settings import DriftSettings
from tests.benchmarks import drift_feed, drift_rivals
from tests.benchmarks.drift_feed import Alarm
from tests.benchmarks.drift_model import served
from tests.benchmarks.drift_payments import DAY_US, payments_of
from tests.benchmarks.drift_scenes import PROMOTED_DAY, STABLE_DAYS, STABLE_PAYMENTS
from tests.benchmarks.report import Figure

FAMILIES = ("performance", "data", "together", "faults")
RIVAL_SEEDS, EVIDENTLY_SEEDS = 5, 1
"""So many of the streams, the first, are shown to the others, who are slower and alarm more often."""
EVIDENTLY_DAYS = 14
"""So much of a stream: it takes seconds a day."""
RIVALS = {
    "adwin": "river ADWIN, errors",
    "page_hinkley": "river Page-Hinkley, errors",
    "ks": "Kolmogorov-Smirnov p < .05, any feature, by day",
    "evidently": f"Evidently DataDriftPreset, by day, {EVIDENTLY_DAYS} days",
}


@dataclass
class Tally:
    """What one detector did on stable streams. alarms: by family; told: where each was raised, and by what."""

    quarters: float = 0.0
    payments: int = 0
    alarms: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)

    def add(self, seed: int, quarters: float, payments: int, alarms: Iterable[Alarm]) -> None:
        """Count one stream."""
        self.quarters += quarters
        self.payments += payments
        for alarm in alarms:
            self.alarms[alarm.family] += 1
            self.told.append(f"stream {seed}, payment {alarm.place}: {alarm.family}, {alarm.signal}")

    def joined(self, other: "Tally") -> "Tally":
        """Return both together."""
        return Tally(
            self.quarters + other.quarters,
            self.payments + other.payments,
            self.alarms + other.alarms,
            self.told + other.told,
        )

    @property
    def a_quarter(self) -> float:
        """Alarms of all families a quarter of event time."""
        return self.alarms.total() / self.quarters


def stable_tallies(seeds: int, processes: int) -> dict[str, Tally]:
    """Return what each detector did on so many stable streams; "ours" is one of them."""
    runs = Parallel(n_jobs=processes)(delayed(_tallies)(seed) for seed in range(1, seeds + 1))
    whole: dict[str, Tally] = {}
    for run in runs:
        for name, tally in run.items():
            whole[name] = whole.get(name, Tally()).joined(tally)
    return whole


def stable_figures(tallies: dict[str, Tally]) -> list[Figure]:
    """Return false alarms, beside the budget and the others'."""
    ours = tallies["ours"]
    budget = DriftSettings().headrace_drift_needless_retrainings_a_quarter
    allowed = budget * ours.quarters
    return [
        Figure("stable_payments", "stable streams: payments watched", ours.payments),
        Figure("stable_quarters", "stable streams: quarters of event time", ours.quarters),
        Figure(
            "false_alarms",
            "false alarms, everything watched",
            ours.alarms.total(),
            allowed,
            f"the budget, {budget:g} a quarter",
            f"<= {allowed:.0f}",
        ),
        *(Figure(f"false_alarms_{family}", f"false alarms, {family}", ours.alarms[family]) for family in FAMILIES),
        Figure("needless_retrainings", "retrainings nobody needed", ours.alarms["performance"], allowed, "the budget"),
        *(
            Figure(f"false_alarms_a_quarter_{name}", "false alarms a quarter", ours.a_quarter, tally.a_quarter, what)
            for name, what in RIVALS.items()
            if (tally := tallies.get(name))
        ),
    ]


def _tallies(seed: int) -> dict[str, Tally]:
    payments = payments_of(seed, STABLE_DAYS)
    champion = served(payments)
    start = payments.place_of(PROMOTED_DAY)
    stop = start + STABLE_PAYMENTS
    stops = {"evidently": payments.place_of(PROMOTED_DAY + EVIDENTLY_DAYS)}
    found = {"ours": drift_feed.alarms(payments, champion, start, stop, DriftSettings())}
    if seed <= RIVAL_SEEDS:
        found["adwin"] = drift_rivals.of_matured(ADWIN, payments, champion, start, stop)
        found["page_hinkley"] = drift_rivals.of_matured(PageHinkley, payments, champion, start, stop)
        found["ks"] = drift_rivals.kolmogorov_smirnov(payments, start, stop)
    if seed <= EVIDENTLY_SEEDS and drift_rivals.PEERS_PYTHON.exists():
        found["evidently"] = drift_rivals.evidently(payments, start, stops["evidently"])
    tallies = {name: Tally() for name in found}
    for name, alarms in found.items():
        last = stops.get(name, stop)
        quarters = (payments.times_us[last - 1] - payments.times_us[start]) / DAY_US / QUARTER_DAYS
        tallies[name].add(seed, quarters, last - start, alarms)
    return tallies
