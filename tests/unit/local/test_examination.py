"""Every check is on its own: one that breaks or hangs costs its own findings."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from services.local.checks.examination import examine
from services.local.checks.finding import Area, Finding
from shared.runtime.clock import SystemClock


def well(area: Area) -> Sequence[Finding]:
    return [area.ok("one", "it is there"), area.warning("two", "it is old", "renew it")]


def broken(area: Area) -> Sequence[Finding]:
    raise ZeroDivisionError("a bug")


@pytest.fixture
def end() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_what_breaks_or_hangs_is_a_finding_and_the_others_are_looked_at(end: threading.Event) -> None:
    def hanging(area: Area) -> Sequence[Finding]:
        end.wait()
        return []

    found = examine({"broken": broken, "hanging": hanging, "well": well}, seconds_max=0.3, clock=SystemClock())
    assert [(finding.area, finding.subject, finding.outcome) for finding in found] == [
        ("broken", "check", "not checked"),
        ("hanging", "answer", "failed"),
        ("well", "one", "ok"),
        ("well", "two", "warning"),
    ]
    assert "ZeroDivisionError: a bug" in found[0].found
    assert "no answer within 0.3 s" in found[1].found
