"""What /metrics is told of decisions, and of what challengers say beside them."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from shared.contracts.events import Decision, Degradation, ModelRole, ShadowScore, Verdict
from shared.runtime import metrics

Path = Literal["stream", "rest"]
"""How payments come in one by one: from the log, or over REST. Files come as `batch`."""

_SCORES = {role: metrics.SCORES.labels(role) for role in (*get_args(ModelRole), "challenger")}
_AGE_SECONDS = {path: metrics.VECTOR_AGE_SECONDS.labels(path) for path in get_args(Path)}


def count_decision(decision: Decision, *, path: Path) -> None:
    """Count one decision, what its score was, and how old the state behind its features."""
    role = decision.model_role if decision.model_version else "none"
    metrics.DECISIONS.labels(decision.decision, ",".join(decision.degraded), path, role).inc()
    if decision.score is not None:
        _SCORES[decision.model_role].observe(decision.score)
    if decision.feature_age_seconds is not None:
        _AGE_SECONDS[path].observe(decision.feature_age_seconds)


def count_shadows(shadows: Iterable[ShadowScore]) -> None:
    """Count what challengers made of payments."""
    scores = _SCORES["challenger"]
    for shadow in shadows:
        if shadow.challenger_score is not None:
            scores.observe(shadow.challenger_score)


def count_file(verdicts: Mapping[str, int]) -> None:
    """Count the decisions on a file, which a process of its own made; verdicts: how many, by decision."""
    for verdict, decided in verdicts.items():
        metrics.DECISIONS.labels(verdict, "", "batch", "champion").inc(decided)


def begin_at_zero() -> None:
    """Let every decision that may come have a count, so that the first one is seen as one more."""
    kinds = [("", "champion"), ("", "canary"), ("model", "none")]
    kinds += [(degradation, "champion") for degradation in get_args(Degradation) if degradation != "model"]
    for verdict in get_args(Verdict):
        for path in (*get_args(Path), "batch"):
            for degraded, role in kinds:
                metrics.DECISIONS.labels(verdict, degraded, path, role)
