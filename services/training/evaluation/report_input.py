"""Everything that the report and the model card tell of a training run."""

from dataclasses import dataclass
from typing import NamedTuple

from services.training.data.leakage import Check
from services.training.data.quality import DataQuality
from services.training.evaluation.bootstrap import Interval
from services.training.evaluation.curves import Drawn, Period
from services.training.evaluation.importance import Importance
from services.training.evaluation.metrics import Evaluation, evaluate
from services.training.evaluation.policy import Costs
from services.training.evaluation.scored import Scored
from services.training.evaluation.segments import Segment
from services.training.gates.guard_rails import GuardRail
from services.training.gates.promotion import PairedTest
from services.training.search.runner import Trial
from shared.models.manifest import Manifest


class Incumbent(NamedTuple):
    """The champion, and its scores of those held-out payments that are new to it: the newest ones."""

    manifest: Manifest
    scored: Scored


@dataclass(frozen=True)
class ReportInput:
    """Everything a report and a model card tell.

    scored: the held-out payments, and evaluation: their figures at the manifest's thresholds. segments: the worst
    first. trials: of the search; reused: names of steps that were not computed again. champion: None where there is
    none to hold the model against. export_difference: the largest of two probabilities, scikit-learn's and ONNX's.
    """

    manifest: Manifest
    promoted: bool
    reason: str
    test: PairedTest | None
    rails: tuple[GuardRail, ...]
    scored: Scored
    evaluation: Evaluation
    costs: Costs
    segments: tuple[Segment, ...]
    quality: DataQuality
    checks: tuple[Check, ...]
    trials: tuple[Trial, ...]
    reused: tuple[str, ...]
    champion: Incumbent | None
    periods: tuple[Period, ...]
    importances: tuple[Importance, ...]
    export_difference: float
    label_delay_days: float

    @property
    def drawn(self) -> list[Drawn]:
        """The model and the champion on the same payments: those that are new to both, where there is a champion."""
        name = f"version {self.manifest.model_version}"
        newest = self.newest
        if self.champion is None or newest is None:
            return [Drawn(name, self.scored)]
        return [
            Drawn(name, newest),
            Drawn(f"version {self.champion.manifest.model_version} (champion)", self.champion.scored),
        ]

    @property
    def newest(self) -> Scored | None:
        """The payments that the champion was measured on, as this model scored them; None without both classes."""
        if self.champion is None or not 0 < int(self.champion.scored.frauds.sum()) < len(self.champion.scored.frauds):
            return None
        return self.scored.part(self.scored.times >= self.champion.scored.times.min())


class Comparison(NamedTuple):
    """Both models on the payments that are new to both, each at its own thresholds."""

    champion_version: int
    payments: int
    frauds: int
    model: dict[str, Interval]
    champion: dict[str, Interval]


def comparison(made: ReportInput) -> Comparison | None:
    """Return the figures of both models on the payments new to both; None where there is nothing to compare."""
    newest = made.newest
    if made.champion is None or newest is None:
        return None
    champion, scored = made.champion
    return Comparison(
        champion.model_version,
        len(newest.frauds),
        int(newest.frauds.sum()),
        evaluate(newest, made.manifest.thresholds, made.costs).figures,
        evaluate(scored, champion.thresholds, made.costs).figures,
    )
