"""Every check at once, each on its own: what one of them runs into or waits for is not the others' trouble."""

import threading
from collections.abc import Callable, Mapping, Sequence

from services.local.checks.finding import Area, Finding
from shared.runtime.clock import Clock

Check = Callable[[Area], Sequence[Finding]]
"""Looks at one area; whatever it raises is a finding too."""


def examine(checks: Mapping[str, Check], *, seconds_max: float, clock: Clock) -> list[Finding]:
    """Return what `checks` find, by area in their order, after `seconds_max` at most.

    A check that is not done by then is left behind in a daemon thread, and that is its finding.
    """
    looks = [_Look(Area(name), check) for name, check in checks.items()]
    deadline = clock.monotonic_seconds() + seconds_max
    for look in looks:
        look.thread.start()
    for look in looks:
        look.thread.join(max(0.0, deadline - clock.monotonic_seconds()))
    return [finding for look in looks for finding in look.found(seconds_max)]


class _Look:
    def __init__(self, area: Area, check: Check) -> None:
        self._area = area
        self._check = check
        self._findings: Sequence[Finding] | None = None
        self.thread = threading.Thread(target=self._run, name=f"check-{area.name}", daemon=True)

    def found(self, seconds_max: float) -> Sequence[Finding]:
        findings = self._findings
        if findings is None:
            told = f"no answer within {seconds_max:g} s"
            return [self._area.failed("answer", told, "see whether it hangs, or the way to it")]
        return findings

    def _run(self) -> None:
        try:
            self._findings = self._check(self._area)
        except Exception as error:  # noqa: BLE001 - the others are looked at all the same
            text = " ".join(f"{type(error).__name__}: {error}".split())
            self._findings = [self._area.not_checked("check", text, "report it: this check should have told more")]
