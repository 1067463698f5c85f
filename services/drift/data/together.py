"""All features together: whether a classifier can tell today's payments from those that the model was trained on.

Finds what no feature shows by itself, as two that no longer go together. Every day a classifier learns to tell the
days before it from training, and bets that it can tell the new day too: what is peculiar to one day wins nothing (a
classifier two-sample test, Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", 2017, made sequential). That
nothing at all has changed is never so on real payments; what it bets against is that the area under its ROC curve is
no more than AUC_SLIGHT.
"""

from collections import deque
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from services.drift.champion import Champion
from services.drift.data.days import Calendar, begin_of, days_of
from services.drift.data.sample import Sample
from services.drift.evidence import Evidence, log_e_of_p
from services.drift.finding import Finding
from services.drift.signals import Signal
from shared.features.definitions import RowFunction
from shared.models.manifest import MODEL_NAME

AUC_SLIGHT = 0.6
"""Weekends, paydays, compromised merchants and histories that grow are told from a stable stream's past with less, on
all but the odd day; what is worth somebody's time, with more."""
DAY_ROWS = 200
DAYS_LEARNT_FROM = 7
DAYS_LEARNT_FROM_MIN = 2
DEPENDENCE = 2.0
"""Payments of one card resemble each other: so many tell as much as one."""
REFERENCE_ROWS_MIN = 100
FEATURES_NAMED = 3
CALENDAR_FEATURES = frozenset(function.value for function in RowFunction if function is not RowFunction.AMOUNT)
"""They tell any day from the others while nothing has changed."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]


class _Told(NamedTuple):
    """How well a day was told from training; telling: the features it went by, the most telling first."""

    auc: float
    samples: int
    day: int
    telling: tuple[str, ...]


class TogetherWatch:
    """A classifier between training and now."""

    name = "together"

    def __init__(self, champion: Champion, *, threshold_days: float, day_payments_min: int) -> None:
        """Start with nothing learnt.

        threshold_days: evidence at which it alarms. day_payments_min: days with fewer are judged with those after them.
        """
        names = champion.feature_names
        self._version = champion.version
        self._threshold_days = threshold_days
        self._payments_min = day_payments_min
        self._columns = [at for at, name in enumerate(names) if name not in CALENDAR_FEATURES]
        self._names = [names[at] for at in self._columns]
        every = np.empty((0, len(names)), np.float32) if champion.profile is None else champion.profile.sample()
        sample = every[:, self._columns]
        self._blind = _blindness(champion, sample)
        self._ascending = np.sort(sample, axis=0)
        # Every other payment, so that both halves are of all days.
        self._halves = self._ranks(sample[::2]), self._ranks(sample[1::2])
        self._calendar = Calendar()
        self._open: dict[int, Sample] = {}
        self._waiting: Sample | None = None
        self._past: deque[Rows] = deque(maxlen=DAYS_LEARNT_FROM)
        self._evidence = Evidence(np.ones(1))
        self._told: _Told | None = None

    def observe(self, rows: Floats, times_us: Integers) -> None:
        """Take in payments, in any order. rows: shape (n, features). times_us: shape (n,), event times."""
        if self._blind:
            return
        for run in self._calendar.take(days_of(times_us)):
            for dropped in run.dropped:
                self._open.pop(dropped, None)
            for closed in run.closed:
                self._close(closed, self._open.pop(closed))
            if run.day not in self._open:
                self._open[run.day] = Sample(DAY_ROWS, len(self._columns), seed=run.day)
            self._open[run.day].add(rows[run.first : run.last, self._columns].astype(np.float32))

    def findings(self) -> list[Finding]:
        """Return what stands at or above the threshold."""
        told = self._told
        if told is None or not self._is_alarmed():
            return []
        finding = Finding(
            kind="data",
            signal=self.name,
            segment=None,
            statistic=self._evidence.days,
            threshold=self._threshold_days,
            samples=told.samples,
            at=begin_of(told.day + 1),
            since=self._since(),
            explanation=self._explanation(told),
        )
        return [finding]

    def signals(self) -> list[Signal]:
        """Return one signal: the area under the ROC curve on the latest day, beside what is usual."""
        told, is_alarmed = self._told, self._is_alarmed()
        learning = f"has {len(self._past)} of the {DAYS_LEARNT_FROM_MIN} days that it learns from at least"
        signal = Signal(
            name=self.name,
            kind="data",
            state="blind" if self._blind else "alarmed" if is_alarmed else "quiet" if told else "learning",
            value=told.auc if told else None,
            expected=AUC_SLIGHT,
            evidence_days=self._evidence.days,
            threshold_days=self._threshold_days,
            samples=told.samples if told else 0,
            since=self._since() if is_alarmed else None,
            note=self._blind or ("" if told else learning),
        )
        return [signal]

    def _is_alarmed(self) -> bool:
        return self._evidence.days >= self._threshold_days

    def _since(self) -> datetime | None:
        return self._evidence.since(0)

    def _close(self, day: int, sample: Sample) -> None:
        if self._waiting is not None:
            sample.pour(self._waiting)
        if sample.seen < self._payments_min:
            self._waiting = sample
            return
        self._waiting = None
        ranks = self._ranks(sample.rows)
        if len(self._past) >= DAYS_LEARNT_FROM_MIN:
            with threadpool_limits(1):
                self._judge(day, ranks)
        self._past.append(ranks)

    def _judge(self, day: int, rows: Rows) -> None:
        """Bet on a day with what the days before it have taught; rows: ranks, shape (n, features)."""
        past = np.concatenate(self._past)
        classifiers = [_trained(half, past) for half in self._halves]
        auc = float(self._aucs(classifiers, rows[None])[0])
        reference = sum(map(len, self._halves))
        # Of the Mann-Whitney statistic where neither tends to be larger; elsewhere it varies less.
        deviation = np.sqrt(DEPENDENCE / 12 * (1 / len(rows) + 1 / reference))
        p = norm.sf((auc - AUC_SLIGHT) / deviation)
        self._evidence.stake(1.0)
        self._evidence.observe(log_e_of_p(np.array([p])), begin_of(day + 1))
        telling = self._telling(classifiers, rows, auc) if self._is_alarmed() else ()
        self._told = _Told(auc, len(rows), day, telling)

    def _aucs(self, classifiers: list[HistGradientBoostingClassifier], groups: npt.NDArray[np.float32]) -> Floats:
        """Return how often a payment of each group looks later than one that the classifier has not learnt from.

        classifiers: of each half of the reference. groups: shape (groups, n, features).
        """
        shares = []
        for classifier, unlearnt in zip(classifiers, self._halves[::-1], strict=True):
            known = np.sort(classifier.predict_proba(unlearnt)[:, 1])
            scores = classifier.predict_proba(groups.reshape(-1, groups.shape[-1]))[:, 1]
            shares.append(_places(known, scores).reshape(groups.shape[:2]).mean(axis=1))
        aucs: Floats = np.mean(shares, axis=0)
        return aucs

    def _telling(self, classifiers: list[HistGradientBoostingClassifier], rows: Rows, auc: float) -> tuple[str, ...]:
        """Return the features whose shuffling (permutation importance) costs most of the area."""
        random = np.random.default_rng(len(rows))
        shuffled = np.repeat(rows[None], len(self._names), axis=0)
        for at in range(len(self._names)):
            shuffled[at, :, at] = random.permutation(rows[:, at])
        losses = auc - self._aucs(classifiers, shuffled)
        return tuple(self._names[at] for at in np.argsort(-losses)[:FEATURES_NAMED] if losses[at] > 0)

    def _ranks(self, rows: Rows) -> Rows:
        """Return where each value stands among those of training, from 0 to 1; rows: shape (n, features)."""
        columns = [_places(self._ascending[:, at], rows[:, at]) for at in range(rows.shape[1])]
        return np.array(columns, dtype=np.float32).T.reshape(rows.shape)

    def _explanation(self, told: _Told) -> str:
        day = begin_of(told.day)
        return (
            f"Taken together, payments are no longer what model {MODEL_NAME} {self._version} was trained on: asked "
            f"which of two is of {day:%Y-%m-%d} and which of training, a classifier is right in {told.auc:.0%} of "
            f"cases, over {told.samples} payments of that day; by chance it would be in 50%, in ordinary times in up "
            f"to {AUC_SLIGHT:.0%}. What gives them away is {_listed(told.telling)}; none of these need have moved by "
            "itself."
        )


def _trained(reference: Rows, past: Rows) -> HistGradientBoostingClassifier:
    """Return a classifier that tells `past` (1) from `reference` (0), both of the same weight."""
    count = len(reference) + len(past)
    weights = np.repeat([count / (2 * len(reference)), count / (2 * len(past))], [len(reference), len(past)])
    classifier = HistGradientBoostingClassifier(
        max_iter=30, max_leaf_nodes=6, min_samples_leaf=40, max_bins=16, early_stopping=False, random_state=0
    )
    return classifier.fit(
        np.concatenate([reference, past]), np.repeat([0, 1], [len(reference), len(past)]), sample_weight=weights
    )


def _places(ascending: npt.NDArray[np.floating], values: npt.NDArray[np.floating]) -> Floats:
    """Return the share of `ascending` that is below each value, ties counted half; shape as `values`."""
    sides = np.searchsorted(ascending, values, "left") + np.searchsorted(ascending, values, "right")
    places: Floats = sides / (2 * max(1, len(ascending)))
    return places


def _blindness(champion: Champion, sample: Rows) -> str:
    """Tell why nothing can be told; empty when something can."""
    if champion.profile is None:
        return "the model was trained before its payments were kept for this: train the model again"
    if len(sample) < REFERENCE_ROWS_MIN:
        return f"the model's profile has {len(sample)} payments, {REFERENCE_ROWS_MIN} are needed: train on more"
    return "" if sample.shape[1] else "the model has no features but the calendar's"


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "no single feature"
