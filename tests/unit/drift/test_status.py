"""What a snapshot tells by itself: is all quiet, what speaks loudest, how often chance does as much."""

import pytest

from services.drift.evidence import by_chance
from tests.unit.drift.status_scene import fallen_model, family, quiet_model, recall, signal


def test_a_model_is_quiet_while_it_is_watched_and_nothing_is_alarmed() -> None:
    assert quiet_model().is_quiet
    assert not quiet_model(problem="its manifest is missing").is_quiet
    assert not quiet_model(signals=[signal("amount", state="alarmed")]).is_quiet
    assert not quiet_model(families=[family("data", 10_000, 0.3)]).is_quiet


def test_alarmed_signals_lead_then_those_with_most_of_the_evidence_they_need() -> None:
    silent, blind = signal("hour"), signal("terminal", state="blind")
    loud = signal("amount", evidence_days=100.0)
    dear = signal("channel", evidence_days=300.0, threshold_days=9_000.0)
    model = fallen_model(signals=[silent, dear, loud, blind, recall(evidence_days=190.0)])
    assert [it.name for it in model.leading(5)] == ["recall", "amount", "channel"]
    assert [it.name for it in model.leading(1)] == ["recall"]


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (0.2, "every day"),
        (1.2, "once in 1 day"),
        (45, "once in 45 days"),
        (41_000, "once in 112.3 years"),
        (1e300, "once in more than 1,000 years"),
    ],
)
def test_evidence_is_told_as_how_often_chance_does_as_much(days: float, told: str) -> None:
    assert by_chance(days) == told
