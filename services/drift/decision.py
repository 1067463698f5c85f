"""What follows from what was found: an alarm, a request for a new model, or nothing; and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from services.drift.finding import Finding

Found = Mapping[str, Sequence[Finding]]
"""Findings by the family of watches that made them; a family with none may be left out."""


@dataclass(frozen=True)
class Facts:
    """What else bears on whether a new model would help.

    broken: the feeds that are broken now, as people call them. fresh_frauds: labelled frauds whose payments are not
    earlier than the change; None for a model that does not learn from them. awaited: what was asked for and has not
    come to its end, in words. asks_from: wall time of the end of the cool-down; None when there is none.
    estimates: what is thought of the model's performance before labels tell, in words.
    """

    broken: Sequence[str] = ()
    fresh_frauds: int | None = None
    awaited: str = ""
    asks_from: datetime | None = None
    estimates: str = ""


class Alarm(NamedTuple):
    """A finding to be told, and what follows from it."""

    finding: Finding
    follows: str


class Response(NamedTuple):
    """What to tell now.

    request: the finding for which a new model is asked for; None when none is. waits_for: why it is not, although a
    finding speaks for it.
    """

    alarms: tuple[Alarm, ...] = ()
    request: Finding | None = None
    waits_for: str = ""


class AlarmPolicy:
    """Decides for one model version, and remembers what it has told.

    A family that stands at its threshold is one alarm, whichever of its watches leads; of faults each feed is one. What
    has ended is told again when it comes back later than the cool-down. What would be asked for, were it not for
    something else, is asked for as soon as that is over, without another alarm.
    """

    def __init__(self, *, cooldown: timedelta, retrain_on_data: bool, fresh_frauds_min: int = 0) -> None:
        """Start with nothing told.

        fresh_frauds_min: labelled frauds since the change without which a new model would have nothing to learn.
        """
        self._cooldown = cooldown
        self._retrain_on_data = retrain_on_data
        self._fresh_frauds_min = fresh_frauds_min
        self._told_at: dict[tuple[str, ...], datetime] = {}

    def asking(self, found: Found) -> tuple[str, ...]:
        """Return the families that speak for a new model."""
        return tuple(family for family, findings in found.items() if any(map(self._asks, findings)))

    def leading(self, found: Found) -> Finding | None:
        """Return the finding that speaks loudest for a new model; None when none does."""
        asking = [finding for findings in found.values() for finding in findings if self._asks(finding)]
        return max(asking, key=lambda finding: finding.statistic / finding.threshold, default=None)

    def respond(self, found: Found, facts: Facts, now: datetime) -> Response:
        """Return what to tell of everything that stands at its threshold; now: wall time."""
        leading = self.leading(found)
        obstacle = "" if leading is None else self._obstacle(leading, facts, now)
        self._forget(found, now)
        alarms = []
        for key, finding in _keyed(found):
            if key not in self._told_at:
                self._told_at[key] = now
                alarms.append(Alarm(finding, self._follows(finding, obstacle, facts)))
        return Response(tuple(alarms), None if obstacle else leading, obstacle)

    def _asks(self, finding: Finding) -> bool:
        return finding.kind == "performance" or (finding.kind == "data" and self._retrain_on_data)

    def _obstacle(self, leading: Finding, facts: Facts, now: datetime) -> str:
        """Tell what keeps a new model from being asked for; nothing does where this is empty."""
        if facts.broken:
            return f"{_listed(facts.broken)}, and nothing is to be learnt from that"
        if facts.awaited:
            return facts.awaited
        if facts.asks_from is not None and now < facts.asks_from:
            return f"the cool-down lasts until {facts.asks_from:%Y-%m-%d %H:%M:%S}Z"
        if facts.fresh_frauds is not None and facts.fresh_frauds < self._fresh_frauds_min:
            since = "" if leading.since is None else f" since {leading.since:%Y-%m-%d %H:%M}Z"
            return (
                f"a new model needs {self._fresh_frauds_min} labelled frauds{since} to learn the change from, and "
                f"there are {facts.fresh_frauds}"
            )
        return ""

    def _follows(self, finding: Finding, obstacle: str, facts: Facts) -> str:
        """Tell what follows from `finding`, and why."""
        if finding.kind == "fault":
            return "No new model is asked for: the feed has to be mended, and nothing is learnt from it."
        if not self._asks(finding):
            why = f"{_listed(facts.broken)}, which may be all" if facts.broken else "no harm to performance is known"
            return " ".join(filter(None, (f"No new model is asked for: {why}.", facts.estimates)))
        return f"No new model is asked for yet: {obstacle}." if obstacle else "A new model is asked for."

    def _forget(self, found: Found, now: datetime) -> None:
        """Forget what was told, where it has ended and the cool-down is over."""
        standing = {key for key, _ in _keyed(found)}
        self._told_at = {
            key: told_at for key, told_at in self._told_at.items() if key in standing or now - told_at < self._cooldown
        }


def _keyed(found: Found) -> Iterator[tuple[tuple[str, ...], Finding]]:
    """Yield each alarm there may be: what it is told by, and the finding that leads it."""
    for family, findings in found.items():
        for finding in sorted(findings, key=lambda it: it.statistic / it.threshold, reverse=True):
            yield ((family, finding.signal) if finding.kind == "fault" else (family,)), finding


def _listed(broken: Sequence[str]) -> str:
    feeds = ", ".join(broken)
    return f"the feed of {feeds} is broken" if len(broken) == 1 else f"the feeds of {feeds} are broken"
