"""Watches how each feature and the score are distributed, day by day, as a whole and by segment."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.drift.champion import SCORE, Champion
from services.drift.data.day_counts import Block, DayCounts, Quantity
from services.drift.data.days import begin_of
from services.drift.data.judged_days import REFERENCE_DAYS_MIN, JudgedDays
from services.drift.data.segments import Segments
from services.drift.data.telling import distribution_of, explanation_of
from services.drift.evidence import Evidence, by_chance, log_e_of_p
from services.drift.finding import Finding
from services.drift.signals import Distribution, Signal, State
from shared.models.profile import Profile

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]

SCORE_WEIGHT = 4.0
"""Of the evidence, to a feature's one: the score is where a change of many features comes together."""
TOLD_MAX = 3


@dataclass
class _Stream:
    """Features or scores: they come on topics of their own, so each have their own days.

    first: where their watches begin among all, ordered by segment, then by quantity.
    """

    quantities: list[Quantity]
    counts: DayCounts
    judged: JudgedDays
    first: int


class DataWatch:
    """Evidence that what the model is given, or says, is distributed as on no day of its reference.

    Features are held against the model's profile. The scores that training knows are other models', which had not seen
    the payments (services/training/candidate.py): so the score is held against the model's own first days, and so are
    the features where there is no profile, or too short a one.
    """

    name = "data"

    def __init__(self, champion: Champion, *, threshold_days: float, psi_min: float, day_payments_min: int) -> None:
        """Learn what is usual.

        threshold_days: evidence that raises an alarm. psi_min: only of watches that moved by as much (population
        stability index). day_payments_min: a day with fewer payments is judged together with the days after it.
        """
        self._champion = champion
        self._threshold_days = threshold_days
        self._psi_min = psi_min
        self._day_payments_min = day_payments_min
        self._segments = Segments(champion)
        self._places = 1 + len(self._segments.names)
        features = _features_of(champion)
        score = Quantity(SCORE, champion.references[SCORE], 0.0, 1.0, ())
        self._features = self._stream(features, champion.profile, day_payments_min, first=0)
        self._score = self._stream([score], None, day_payments_min, first=self._places * len(features))
        self._evidence = Evidence(_weights(len(features), self._places))
        self._moved = np.zeros(self._score.first + self._places)
        self._begun = False

    @property
    def out_of_calendar(self) -> int:
        """Payments that were not counted: dated far ahead, or after their day was over."""
        return self._features.counts.calendar.out_of_calendar

    def observe(self, rows: Floats, times_us: Integers) -> None:
        """Take in payments, in any order.

        rows: shape (n, features), in the model's order. times_us: shape (n,), event times in microseconds.
        """
        for block in self._features.counts.add(rows, self._segments.of(rows), times_us):
            self._judge(self._features, block)

    def observe_scores(self, scores: Floats, places: Integers, times_us: Integers) -> None:
        """Take in what the model said of payments, in any order.

        scores: shape (n,). places: shape (n, segment features), as Segments.of. times_us: shape (n,), as above.
        """
        for block in self._score.counts.add(scores[:, None], places, times_us):
            self._judge(self._score, block)

    def recalibrated(self, champion: Champion) -> None:
        """Go on with what `champion` says, whose scores lie elsewhere: what is usual for them is learnt anew."""
        self._champion = champion
        score = Quantity(SCORE, champion.references[SCORE], 0.0, 1.0, ())
        self._score = self._stream([score], None, self._day_payments_min, first=self._score.first)
        self._moved[self._score.first :] = 0

    def findings(self) -> list[Finding]:
        """Return one finding, of the watch that says most, where what has moved by enough says enough together."""
        speaking = self._speaking()
        days = float(speaking.sum())
        if days < self._threshold_days:
            return []
        told = self._told(speaking)
        stream, place, quantity = self._watch(told[0])
        since = self._evidence.since(told[0])
        _, now = stream.judged.together(since)
        changes = "; ".join(self._change(watch) for watch in told)
        return [
            Finding(
                kind="data",
                signal=stream.quantities[quantity].name,
                segment=self._segment(place),
                statistic=days,
                threshold=self._threshold_days,
                samples=int(now[place, quantity].sum()),
                at=stream.judged.newest,
                since=since,
                explanation=(
                    f"What model {self._champion.version} is given has changed. {changes}. Held against the days of "
                    f"its reference that are most alike; so much evidence comes up by chance "
                    f"{by_chance(days)}; {by_chance(self._threshold_days)} is enough for an alarm."
                ),
            )
        ]

    def signals(self) -> list[Signal]:
        """Return every watch; one that has not moved by enough counts for nothing, whatever its evidence."""
        speaking = self._speaking()
        told = self._told(speaking) if speaking.sum() >= self._threshold_days else []
        return [signal for stream in (self._features, self._score) for signal in self._signals(stream, speaking, told)]

    def distributions(self) -> list[Distribution]:
        """Return every feature and the score on the last whole days, beside the reference days most like them."""
        return [
            distribution_of(quantity, at, stream.judged)
            for stream in (self._features, self._score)
            for at, quantity in enumerate(stream.quantities)
            if stream.judged.recent
        ]

    def _stream(
        self, quantities: list[Quantity], profile: Profile | None, day_payments_min: int, *, first: int
    ) -> _Stream:
        """Return a stream that is held against the profile, or against its first days where there is none."""
        bins = max(len(quantity.reference.fractions) for quantity in quantities)
        counts = np.zeros((0, self._places, len(quantities), bins), dtype=np.int64)
        days = np.zeros(0, dtype=np.int64)
        if profile is not None:
            counts = profile.day_counts()
            days = np.array(profile.dates, dtype="datetime64[D]").astype(np.int64)
        return _Stream(
            quantities,
            DayCounts(quantities, segments=self._places - 1, payments_min=day_payments_min),
            JudgedDays(counts, days, payments_min=day_payments_min),
            first,
        )

    def _judge(self, stream: _Stream, block: Block) -> None:
        if stream is self._features:
            self._evidence.stake(block.days)
        p = stream.judged.judge(block)
        if p is None:
            return
        if not self._begun:
            self._evidence.observe(np.zeros(len(self._moved)), begin_of(block.first))
            self._begun = True
        own = slice(stream.first, stream.first + len(p))
        log_e = np.zeros(len(self._moved))
        log_e[own] = np.where(np.isnan(p), 0.0, log_e_of_p(p))
        self._evidence.observe(log_e, begin_of(block.last + 1))
        since = [self._evidence.since(watch) for watch in range(own.start, own.stop)]
        self._moved[own] = stream.judged.moved(np.array([at.timestamp() if at else np.nan for at in since]))

    def _speaking(self) -> npt.NDArray[np.float64]:
        """Return the evidence, in days, of the watches that have moved by enough; 0 of the others."""
        has_moved = (self._moved > 0) & (self._moved >= self._psi_min)
        return np.where(has_moved, self._evidence.weighted_days, 0.0)

    def _told(self, speaking: npt.NDArray[np.float64]) -> list[int]:
        return [int(watch) for watch in np.argsort(-speaking)[:TOLD_MAX] if speaking[watch] > 0]

    def _watch(self, watch: int) -> tuple[_Stream, int, int]:
        """Return where a watch belongs: its stream, its segment's place and its quantity's."""
        stream = self._score if watch >= self._score.first else self._features
        return stream, *divmod(watch - stream.first, len(stream.quantities))

    def _segment(self, place: int) -> str | None:
        return self._segments.names[place - 1] if place else None

    def _change(self, watch: int) -> str:
        stream, place, quantity = self._watch(watch)
        was, now = stream.judged.together(self._evidence.since(watch))
        moved = float(self._moved[watch])
        return explanation_of(
            stream.quantities[quantity], self._segment(place), moved, was[place, quantity], now[place, quantity]
        )

    def _signals(self, stream: _Stream, speaking: npt.NDArray[np.float64], told: list[int]) -> list[Signal]:
        usual: State = "learning" if stream.judged.learning else "quiet"
        _, now = stream.judged.together()
        lately = stream.judged.moved(np.full(self._places * len(stream.quantities), -np.inf))
        made = []
        for at, psi in enumerate(lately.tolist()):
            place, quantity = divmod(at, len(stream.quantities))
            watch = stream.first + at
            samples = int(now[place, quantity].sum())
            made.append(
                Signal(
                    name=stream.quantities[quantity].name,
                    kind="data",
                    segment=self._segment(place),
                    state="alarmed" if watch in told else usual,
                    value=psi if samples else None,
                    expected=0.0 if samples else None,
                    evidence_days=float(speaking[watch]),
                    threshold_days=self._threshold_days,
                    samples=samples,
                    since=self._evidence.since(watch) if watch in told else None,
                    note=_note(stream) if usual == "learning" else "",
                )
            )
        return made


def _features_of(champion: Champion) -> list[Quantity]:
    profile, names = champion.profile, champion.feature_names
    low = profile.low if profile else [-np.inf] * len(names)
    high = profile.high if profile else [np.inf] * len(names)
    return [
        Quantity(name, champion.references[name], low[at], high[at], _codes(champion, name))
        for at, name in enumerate(names)
    ]


def _codes(champion: Champion, name: str) -> tuple[int, ...]:
    encoding = champion.categories.get(name)
    return tuple(encoding.codes if encoding else champion.references[name].codes)


def _weights(features: int, places: int) -> npt.NDArray[np.float64]:
    """Return each watch's part of the evidence: half is of everything together, half the segments' in equal parts."""
    of_quantities = np.array([1.0] * features + [SCORE_WEIGHT]) / (features + SCORE_WEIGHT)
    of_places = np.array([0.5] + [0.5 / (places - 1)] * (places - 1)) if places > 1 else np.ones(1)
    weights = np.outer(of_places, of_quantities)
    return np.concatenate([weights[:, :-1].ravel(), weights[:, -1]])


def _note(stream: _Stream) -> str:
    return f"learns what is usual: {stream.judged.reference_days} of {REFERENCE_DAYS_MIN} days"
