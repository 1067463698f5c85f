"""What /metrics is told of the gates."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

from services.training.gates.guard_rails import GuardRail
from services.training.gates.promotion import PairedTest
from services.training.refusal import RefusedError
from shared.models.manifest import MODEL_NAME, RECOMMENDATION
from shared.runtime import metrics

GATES = {
    MODEL_NAME: ("export", "latency", "calibration", "better_than_chance", "worst_segment", "promotion"),
    RECOMMENDATION: ("export", "coverage", "off_policy", "promotion"),
}
"""By model, in the order in which they are passed."""


def begin_at_zero() -> None:
    """Let every verdict that may come have a count, so that the first one is seen as one more."""
    for model_name, gates in GATES.items():
        for gate, passed in product(gates, (True, False)):
            _count(model_name, gate, passed=passed, verdicts=0)


@contextmanager
def export_counted(model_name: str) -> Iterator[None]:
    """Count what the export gate, which runs inside, says; raises what it raises."""
    try:
        yield
    except RefusedError:
        _count(model_name, "export", passed=False)
        raise
    _count(model_name, "export", passed=True)


def count_verdict(model_name: str, rails: tuple[GuardRail, ...], test: PairedTest | None) -> None:
    """Count what the guard rails say, and the promotion gate; test: None where there is nothing to beat."""
    for rail in rails:
        gate = rail.name.replace(" ", "_").replace("-", "_")
        _count(model_name, gate, passed=rail.passed)
    _count(model_name, "promotion", passed=test is None or test.better)


def _count(model_name: str, gate: str, *, passed: bool, verdicts: int = 1) -> None:
    metrics.GATES.labels(model_name, gate, "passed" if passed else "refused").inc(verdicts)
