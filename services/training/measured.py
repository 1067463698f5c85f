"""What a run has found out, from one stage to the next."""

from dataclasses import dataclass

from services.training.candidate import Candidate
from services.training.data.dataset import TrainingSet
from services.training.data.leakage import Check
from services.training.data.quality import DataQuality
from services.training.evaluation.metrics import Evaluation
from services.training.evaluation.scored import Scored
from shared.models.manifest import Thresholds


@dataclass(frozen=True)
class Inspected:
    """A training set that may be learnt from, and what was looked at."""

    data: TrainingSet
    quality: DataQuality
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Measured:
    """A candidate, where its decisions are cut, and how good they are on the held-out payments."""

    candidate: Candidate
    thresholds: Thresholds
    scored: Scored
    evaluation: Evaluation
