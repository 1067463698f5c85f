"""What a user would pick instead, each as its documentation has it first; and two that know nothing.

ADWIN and Page-Hinkley of river watch the champion's errors on matured payments, and begin anew after an alarm. A plain
Kolmogorov-Smirnov test compares each feature of each day with the last days that the champion was measured on, at
p < .05 each. Evidently (evidentlyai.com) compares the same with its DataDriftPreset, which alarms when half of the
features have drifted; it runs in an environment of its own packages (drift_peer.py).
"""

import itertools
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from river.drift import ADWIN, PageHinkley
from scipy.stats import ks_2samp

from tests.benchmarks.drift_feed import Alarm
from tests.benchmarks.drift_model import TRAINED_DAYS, Served
from tests.benchmarks.drift_payments import DAY_US, LABEL_DELAY_DAYS, Payments

ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".bench" / "drift-peers-venv" / "bin" / "python"
REFERENCE_DAYS = 15
REFERENCE_ROWS = 5_000
EVERY_ROWS = 10_000
P_MAX = 0.05

Rows = npt.NDArray[np.float32]


class PeerMissingError(Exception):
    """The environment of Evidently is not there, or it failed."""


def every_rows(start: int, stop: int) -> Iterator[Alarm]:
    """Yield an alarm every EVERY_ROWS payments, whatever happens."""
    for place in range(start + EVERY_ROWS, stop + 1, EVERY_ROWS):
        yield Alarm("every", "every", place)


def of_errors(detector: type[ADWIN | PageHinkley], errors: npt.NDArray[np.bool_]) -> Iterator[int]:
    """Yield the places, plus one, of the errors after which the detector alarms; shape (n,), in order of time."""
    watching = detector()
    for place, error in enumerate(errors.tolist(), start=1):
        watching.update(float(error))
        if watching.drift_detected:
            yield place
            watching = detector()


def of_matured(
    detector: type[ADWIN | PageHinkley], payments: Payments, served: Served, start: int, stop: int
) -> Iterator[Alarm]:
    """Yield the alarms on the errors of payments from `start` on, each known when it has matured."""
    errors = served.flagged[start:stop] != (payments.frauds[start:stop] == 1)
    for known in of_errors(detector, errors):
        at_us = payments.times_us[start + known - 1] + LABEL_DELAY_DAYS * DAY_US
        place = int(np.searchsorted(payments.times_us, at_us, "right"))
        if place < stop:
            yield Alarm(detector.__name__, "error", place)


def kolmogorov_smirnov(payments: Payments, start: int, stop: int) -> Iterator[Alarm]:
    """Yield an alarm after each day on which a feature differs."""
    reference = reference_rows(payments)
    for begin, end in days(payments, start, stop):
        today = payments.rows[begin:end]
        if any(
            ks_2samp(was, now, method="asymp").pvalue < P_MAX for was, now in zip(reference.T, today.T, strict=True)
        ):
            yield Alarm("ks", "ks", end)


def evidently(payments: Payments, start: int, stop: int) -> Iterator[Alarm]:
    """Yield an alarm after each day on which Evidently says that the data set has drifted.

    Raises:
        PeerMissingError: it is not installed, or it failed.
    """
    if not PEERS_PYTHON.exists():
        raise PeerMissingError(f"{PEERS_PYTHON} is missing: run `make bench-drift`, which makes it")
    whole = list(days(payments, start, stop))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "payments.npz"
        ends = np.array([end - start for _, end in whole])
        np.savez(file, reference=reference_rows(payments), rows=payments.rows[start:stop], ends=ends)
        command = [str(PEERS_PYTHON), "-m", "tests.benchmarks.drift_peer", str(file)]
        child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise PeerMissingError(f"evidently ended with {child.returncode}: {child.stderr[-2_000:]}")
    for (_, end), drifted in zip(whole, json.loads(child.stdout.splitlines()[-1]), strict=True):
        if drifted:
            yield Alarm("evidently", "dataset", end)


def reference_rows(payments: Payments) -> Rows:
    """Return REFERENCE_ROWS payments, evenly, of the last days that the champion was made of."""
    begin, end = payments.place_of(TRAINED_DAYS - REFERENCE_DAYS), payments.place_of(TRAINED_DAYS)
    return payments.rows[np.linspace(begin, end - 1, REFERENCE_ROWS).astype(np.intp)]


def days(payments: Payments, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield where each day (UTC) between two places begins and ends."""
    numbers = payments.times_us[start:stop] // DAY_US
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), stop - start]
    for begin, end in itertools.pairwise(edges):
        yield start + begin, start + end
