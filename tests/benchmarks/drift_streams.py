"""Published streams with known drifts, and one that nobody knows: `drift-lobo2020` and `drift-elec2` of HEADRACE_DATA.

A tree learns from the first rows, then it is watched; after an alarm a new one learns from the rows that follow. Class
1 stands for fraud, and its label is known at once. In the ten streams of 40,000 rows, drifts are at rows 10,000, 20,000
and 30,000, and a thousand rows stand for a day; in elec2 a row is half an hour. Only errors are looked at: the watch of
single features knows days by weeks of others, which these streams have not.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from joblib import Parallel, delayed
from river.drift import ADWIN, PageHinkley
from scipy.stats import binomtest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from services.drift.champion import SCORE, Champion
from services.drift.settings import DriftSettings
from services.training.references import reference
from shared.models.manifest import Thresholds
from tests.benchmarks import drift_feed, drift_rivals
from tests.benchmarks.drift_model import Served
from tests.benchmarks.drift_payments import DAY_US, Payments
from tests.benchmarks.report import Figure

TRAINED_ROWS = 1_000
DRIFT_ROWS = (10_000, 20_000, 30_000)
DAY_ROWS = 1_000
HALF_HOUR_US = DAY_US // 48
EVERY_ROWS = 5_000
BATCH = 25
LAST_CLASS_ACCURACY = 0.8533
"""Of elec2, by foretelling the class of the row before."""
_FOLDS = 5

Watching = Callable[[Payments, Served, int], int | None]
"""From what is watched, and from which row on, to the row of the first alarm, plus one; None: none came."""


@dataclass(frozen=True)
class Run:
    """A stream watched to its end. alarms: at which rows, plus one. accuracy: of all rows after the first model."""

    alarms: tuple[int, ...]
    accuracy: float


@dataclass(frozen=True)
class Detected:
    """What became of known drifts. delays: in rows, of those that were noticed before the next."""

    delays: tuple[int, ...]
    missed: int
    false_alarms: int
    rows: int


def ours(stream: Payments, served: Served, start: int) -> int | None:
    """Return the first alarm of the monitor."""
    settings = DriftSettings(headrace_drift_label_delay_days=0)
    alarms = drift_feed.alarms(stream, served, start, len(stream.rows), settings, BATCH)
    return next((alarm.place for alarm in alarms), None)


def adwin(stream: Payments, served: Served, start: int) -> int | None:
    """Return the first alarm of river's ADWIN on the errors."""
    return _of_errors(ADWIN, stream, served, start)


def page_hinkley(stream: Payments, served: Served, start: int) -> int | None:
    """Return the first alarm of river's Page-Hinkley on the errors."""
    return _of_errors(PageHinkley, stream, served, start)


def never(stream: Payments, served: Served, start: int) -> int | None:
    """Return None."""
    return None


def every(stream: Payments, served: Served, start: int) -> int | None:
    """Return an alarm EVERY_ROWS after the start."""
    return start + EVERY_ROWS if start + EVERY_ROWS < len(stream.rows) else None


WATCHES: dict[str, tuple[Watching, str]] = {
    "ours": (ours, "ours"),
    "adwin": (adwin, "river ADWIN"),
    "page_hinkley": (page_hinkley, "river Page-Hinkley"),
    "never": (never, "never"),
    "every": (every, f"every {EVERY_ROWS:,} rows"),
}


def stream_figures(processes: int) -> list[Figure]:
    """Return what was noticed, and elec2's accuracy; nothing, and a line that says so, where the data is not there."""
    folder = Path(os.environ.get("HEADRACE_DATA", ""))
    files = sorted((folder / "drift-lobo2020").glob("*.parquet"))
    if not files:
        print(f"skipped: {folder / 'drift-lobo2020'} holds no streams; set HEADRACE_DATA to the folder of data sets")
        return []
    asked = [(name, file) for name in WATCHES for file in files]
    runs = Parallel(n_jobs=processes)(delayed(_known)(name, file) for name, file in asked)
    found = {name: _joined([run for (of, _), run in zip(asked, runs, strict=True) if of == name]) for name in WATCHES}
    elec2 = folder / "drift-elec2" / "elec2.parquet"
    watched = Parallel(n_jobs=processes)(delayed(_elec2)(name, elec2) for name in WATCHES)
    return [*_known_figures(found, len(files)), *_elec2_figures(dict(zip(WATCHES, watched, strict=True)))]


def _known_figures(found: dict[str, Detected], streams: int) -> list[Figure]:
    drifts = streams * len(DRIFT_ROWS)
    own = found["ours"]
    return [
        Figure(f"lobo_{key}_{name}", f"{streams} streams: {label}", measure(own), measure(found[name]), what)
        for key, label, measure in (
            ("delay_rows", "rows from a drift to its alarm, mean", lambda one: float(np.mean(one.delays or [np.inf]))),
            ("missed", f"drifts missed, of {drifts}", lambda one: one.missed),
            ("false_alarms_per_10000", "false alarms in 10,000 rows", lambda one: 1e4 * one.false_alarms / one.rows),
        )
        for name, (_, what) in WATCHES.items()
        if name not in {"ours", "never"}
    ]


def _elec2_figures(runs: dict[str, Run]) -> list[Figure]:
    own = runs["ours"]
    return [
        Figure("elec2_accuracy", "elec2: accuracy", own.accuracy, LAST_CLASS_ACCURACY, "the class of the row before"),
        *(
            Figure(
                f"elec2_accuracy_{name}",
                f"elec2: accuracy, {len(own.alarms)} trainings after the first",
                own.accuracy,
                runs[name].accuracy,
                f"{what}, {len(runs[name].alarms)} trainings",
            )
            for name, (_, what) in WATCHES.items()
            if name != "ours"
        ),
    ]


def _known(name: str, file: Path) -> Detected:
    """Return what a watch makes of a stream of known drifts."""
    run = _run(_stream(pl.read_parquet(file), DAY_US // DAY_ROWS), WATCHES[name][0])
    rows = DRIFT_ROWS[-1] + DRIFT_ROWS[0]
    delays: list[int] = []
    for drift, until in zip(DRIFT_ROWS, (*DRIFT_ROWS[1:], rows), strict=True):
        delays += [alarm - drift for alarm in run.alarms if drift < alarm <= until][:1]
    return Detected(tuple(delays), len(DRIFT_ROWS) - len(delays), len(run.alarms) - len(delays), rows)


def _elec2(name: str, file: Path) -> Run:
    return _run(_stream(pl.read_parquet(file).drop("date"), HALF_HOUR_US), WATCHES[name][0])


def _stream(table: pl.DataFrame, row_us: int) -> Payments:
    rows = table.drop("class").to_numpy().astype(np.float32)
    places = np.arange(len(rows))
    return Payments(rows, places * row_us, table["class"].to_numpy().astype(np.int8), places, np.ones_like(places))


def _run(stream: Payments, watching: Watching) -> Run:
    """Return what happens to a stream whose model learns anew after every alarm."""
    scores = np.zeros(len(stream.rows), dtype=np.float32)
    alarms: list[int] = []
    begin: int | None = 0
    while begin is not None and begin + TRAINED_ROWS < len(stream.rows):
        start = begin + TRAINED_ROWS
        served = _learnt(stream, begin, start)
        scores[start:] = served.scores[start:]
        begin = watching(stream, served, start)
        alarms += [] if begin is None else [begin]
    is_right = (scores >= 0.5) == (stream.frauds == 1)
    return Run(tuple(alarms), float(is_right[TRAINED_ROWS:].mean()))


def _learnt(stream: Payments, begin: int, end: int) -> Served:
    """Return a calibrated tree of these rows, measured on folds of them."""
    rows, classes = stream.rows[begin:end], stream.frauds[begin:end]
    tree = DecisionTreeClassifier(min_samples_leaf=20, random_state=0)
    model = CalibratedClassifierCV(tree, cv=_FOLDS, ensemble=False)
    held_out = cross_val_predict(model, rows, classes, cv=_FOLDS, method="predict_proba")[:, 1]
    flagged, is_fraud = held_out >= 0.5, classes == 1
    hits = int((flagged & is_fraud).sum())
    shares = {"recall": binomtest(hits, int(is_fraud.sum())), "precision": binomtest(hits, max(1, int(flagged.sum())))}
    names = tuple(f"feature_{at}" for at in range(rows.shape[1]))
    champion = Champion(
        version=1,
        since_ms=int(stream.times_us[end] // 1000),
        feature_version="0" * 64,
        feature_names=names,
        references={name: reference(column) for name, column in zip(names, rows.T, strict=True)}
        | {SCORE: reference(held_out.astype(np.float32))},
        profile=None,
        thresholds=Thresholds(review=0.5, decline=0.5),
        metrics={name: share.statistic for name, share in shares.items()},
        intervals={name: _interval(share) for name, share in shares.items()},
        trained_until=None,
        categories={},
    )
    scores: npt.NDArray[np.float32] = model.fit(rows, classes).predict_proba(stream.rows)[:, 1].astype(np.float32)
    return Served(champion, scores)


def _interval(share: "binomtest") -> tuple[float, float]:
    ends = share.proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)


def _of_errors(detector: type[ADWIN | PageHinkley], stream: Payments, served: Served, start: int) -> int | None:
    errors = served.flagged[start:] != (stream.frauds[start:] == 1)
    return next((start + place for place in drift_rivals.of_errors(detector, errors)), None)


def _joined(runs: list[Detected]) -> Detected:
    return Detected(
        tuple(delay for run in runs for delay in run.delays),
        sum(run.missed for run in runs),
        sum(run.false_alarms for run in runs),
        sum(run.rows for run in runs),
    )
