"""The promotion gate: whether a registered model goes live, and why."""

from collections.abc import Callable
from dataclasses import dataclass

from services.training.candidate import Candidate
from services.training.evaluation.metrics import Evaluation
from services.training.evaluation.segments import parts
from services.training.gates.guard_rails import (
    GuardRail,
    better_than_chance,
    calibration,
    latency,
    worst_segment,
)
from services.training.gates.promotion import PairedTest, new_to, paired_test
from services.training.settings import TrainingSettings
from shared.models.session import OnnxModel


@dataclass(frozen=True)
class Verdict:
    """Whether a model goes live. test: None where there is no champion to hold it against."""

    promoted: bool
    reason: str
    test: PairedTest | None
    rails: tuple[GuardRail, ...]


@dataclass(frozen=True)
class Champion:
    """What a new model has to beat.

    model: None where there is none that could be compared; absence: why.
    """

    model: OnnxModel | None
    absence: str


def judged(
    model: OnnxModel,
    champion: Champion,
    candidate: Candidate,
    evaluation: Evaluation,
    settings: TrainingSettings,
    *,
    monotonic_seconds: Callable[[], float],
) -> Verdict:
    """Hold `model` against the guard rails, then against the champion.

    The champion scores as it is in service; in the new model's place stand the stand-ins of `candidate`, on payments
    that are later than everything the champion, and each stand-in, was trained on.
    """
    rails = [
        latency(
            model,
            candidate.held_out.rows[-1:],
            microseconds_max=settings.headrace_training_latency_microseconds_max,
            monotonic_seconds=monotonic_seconds,
        ),
        calibration(
            evaluation.expected_calibration_error.value, error_max=settings.headrace_training_calibration_error_max
        ),
        better_than_chance(evaluation.average_precision.low, evaluation.fraud_rate.value),
    ]
    test = None
    if champion.model is not None:
        new = new_to(champion.model.manifest, candidate.held_out)
        held_out, scores = candidate.held_out.part(new), candidate.scores[new]
        theirs = champion.model.scores(held_out.rows)
        test = paired_test(
            theirs, scores, held_out.frauds, held_out.cards, error_rate=settings.headrace_training_error_rate
        )
        rails.append(
            worst_segment(
                theirs,
                scores,
                held_out.frauds,
                held_out.cards,
                parts(held_out.amounts, held_out.rows, held_out.feature_set),
                loss_max=settings.headrace_training_segment_loss_max,
            )
        )
    return _concluded(test, tuple(rails), champion)


def _concluded(test: PairedTest | None, rails: tuple[GuardRail, ...], champion: Champion) -> Verdict:
    broken = [f"{rail.name}: {rail.explanation}" for rail in rails if not rail.passed]
    if test is None:
        reason = champion.absence
    else:
        version = champion.model.manifest.model_version if champion.model else 0
        reason = f"{'better than' if test.better else 'not surely better than'} version {version}: {test.explanation}"
    if broken:
        reason = f"{'; '.join(broken)}. Otherwise: {reason}"
    return Verdict(not broken and (test is None or test.better), reason, test, rails)
