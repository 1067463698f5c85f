"""Simulated drifts: how long until the alarm, and how many frauds slip through until then; beside the others."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from river.drift import ADWIN, PageHinkley

from services.drift.settings import DriftSettings
from tests.benchmarks import drift_feed, drift_rivals
from tests.benchmarks.drift_feed import Alarm
from tests.benchmarks.drift_model import served
from tests.benchmarks.drift_payments import payments_of
from tests.benchmarks.drift_scenes import DRIFT_DAY, DRIFTED_DAYS, PROMOTED_DAY, SCENES, Scene
from tests.benchmarks.drift_stable import EVIDENTLY_DAYS, EVIDENTLY_SEEDS, RIVALS
from tests.benchmarks.report import Figure


class Detection(NamedTuple):
    """What one detector made of one drift.

    rows: payments from the drift to the first alarm after it, or to the end where none came, which is `missed`.
    frauds: of those payments, the frauds that the champion let through. family: what alarmed first.
    """

    rows: int
    frauds: int
    missed: bool
    family: str


def detections(seeds: int, processes: int) -> dict[tuple[str, str], list[Detection]]:
    """Return by kind of drift and detector what was detected in each of so many streams.

    Detectors are "ours", "retraining" (ours, where only a fall in performance counts, which asks for a new model), and
    the others.
    """
    asked = [(scene, seed) for scene in SCENES for seed in range(1, seeds + 1)]
    runs = Parallel(n_jobs=processes)(delayed(_detected)(scene, seed) for scene, seed in asked)
    whole: dict[tuple[str, str], list[Detection]] = {}
    for (scene, _), run in zip(asked, runs, strict=True):
        for name, detection in run.items():
            whole.setdefault((scene.key, name), []).append(detection)
    return whole


def known_figures(found: dict[tuple[str, str], list[Detection]]) -> list[Figure]:
    """Return mean delays, with a missed drift counted as the whole time after it, and misses."""
    figures: list[Figure] = []
    for scene in SCENES:
        ours, asked = found[scene.key, "ours"], found[scene.key, "retraining"]
        families = ", ".join(sorted({detection.family for detection in ours if not detection.missed}))
        label = f"{scene.label}: "
        figures += [
            Figure(f"{scene.key}_missed", f"{label}missed, of {len(ours)} ({families})", _missed(ours), goal="0"),
            Figure(f"{scene.key}_frauds", f"{label}frauds let through until the alarm", _mean(ours, "frauds")),
            Figure(f"{scene.key}_retraining_rows", f"{label}rows until a new model is asked for", _mean(asked, "rows")),
        ]
        figures += [
            Figure(
                f"{scene.key}_rows_{name}",
                f"{label}rows until the alarm",
                _mean(ours, "rows"),
                _mean(found[scene.key, name], "rows"),
                f"{what}; missed {_missed(found[scene.key, name])}",
            )
            for name, what in RIVALS.items()
            if (scene.key, name) in found
        ]
    return figures


def _detected(scene: Scene, seed: int) -> dict[str, Detection]:
    payments = payments_of(seed, DRIFTED_DAYS, *scene.drifts)
    champion = served(payments)
    start, drift, stop = (payments.place_of(day) for day in (PROMOTED_DAY, DRIFT_DAY, DRIFTED_DAYS))
    let_through = np.cumsum((payments.frauds == 1) & ~champion.flagged)

    def first(alarms: Iterable[Alarm]) -> Detection:
        alarm = next((alarm for alarm in alarms if alarm.place > drift), None)
        place = stop if alarm is None else alarm.place
        frauds = int(let_through[place - 1] - let_through[drift - 1])
        return Detection(place - drift, frauds, alarm is None, alarm.family if alarm else "")

    ours: list[Alarm] = []
    for alarm in drift_feed.alarms(payments, champion, start, stop, DriftSettings()):
        ours.append(alarm)
        if alarm.place > drift and alarm.family == "performance":
            break
    found = {
        "ours": first(ours),
        "retraining": first(alarm for alarm in ours if alarm.family == "performance"),
        "adwin": first(drift_rivals.of_matured(ADWIN, payments, champion, start, stop)),
        "page_hinkley": first(drift_rivals.of_matured(PageHinkley, payments, champion, start, stop)),
        "ks": first(drift_rivals.kolmogorov_smirnov(payments, start, stop)),
    }
    if seed <= EVIDENTLY_SEEDS and drift_rivals.PEERS_PYTHON.exists():
        looked_until = payments.place_of(DRIFT_DAY + EVIDENTLY_DAYS)
        found["evidently"] = first(drift_rivals.evidently(payments, drift, looked_until))
    return found


def _missed(found: list[Detection]) -> int:
    return sum(detection.missed for detection in found)


def _mean(found: list[Detection], what: str) -> float:
    return float(np.mean([getattr(detection, what) for detection in found]))
