"""What became of the retrainings that drift asked for: of use, or needless."""

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from services.drift.evidence import QUARTER_DAYS
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.models.lineage import Standing, puts_in_force
from shared.models.manifest import RECALIBRATES

Ending = Literal["needed", "needless", "failed", "rolled_back"]
"""needed: it led to a promotion. needless: what it trained was refused as not better. failed: it trained nothing, was
not answered, or its model was withdrawn before it decided. rolled_back: what was promoted before was taken back."""

State = Literal["watching", "asked", "shadow", "canary", "watched", "cooling_down"]
"""asked: training has the request, or is at it. shadow, canary: a new version is tried. watched: it decides, and the
one before scores beside it. cooling_down: all is decided, and nothing is asked for yet. watching: none of these."""

_ROLLOUT = "rollout"
TRAINING_ACTORS = frozenset({"training", "training-rate-limit", _ROLLOUT})
"""Who answers a request on `models`, and takes its model through the stages."""
_ENDED_MAX = 1_000
_DOUBLINGS_MAX = 6


class Ended(NamedTuple):
    """A retraining that has come to its end.

    at: event time of what it was asked for. families: of the watches that spoke for it.
    """

    at: datetime
    ending: Ending
    families: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A request; asked_at: wall time. version: of the model it led to, 0 before there is one."""

    request: RetrainingRequest
    families: tuple[str, ...]
    asked_at: datetime
    version: int = 0

    def ended(self, ending: Ending) -> Ended:
        """Return it as one that has come to this end."""
        return Ended(self.request.occurred_at, ending, self.families)


class Retrainings:
    """The requests that drift made about one model, followed on `models` until they end.

    An event answers the request when it has its trace, or is of a run that read its data after the request was made:
    training answers several requests with one run.
    """

    def __init__(self, model_name: str, *, cooldown: timedelta, answer_max: timedelta) -> None:
        """Start without a request.

        cooldown: between requests, doubled with every one in a row that brought nothing. answer_max: a request that
        training does not answer is given up after so long.
        """
        self._model_name = model_name
        self._cooldown = cooldown
        self._answer_max = answer_max
        self._standing = Standing()
        self._asked: Asked | None = None
        self._promoted: Asked | None = None
        self._asked_at: datetime | None = None
        self._in_vain = 0
        self._ended: deque[Ended] = deque(maxlen=_ENDED_MAX)

    @property
    def request(self) -> RetrainingRequest | None:
        """The request that has not come to its end."""
        return None if self._asked is None else self._asked.request

    @property
    def asks_from(self) -> datetime | None:
        """Wall time at which the cool-down ends; None when there is none."""
        return None if self._asked_at is None else self._asked_at + self._cooldown * 2**self._in_vain

    def needless_in_quarter(self, until: datetime) -> int:
        """Return how many were needless in the quarter of event time that ends with `until`."""
        since = until - timedelta(days=QUARTER_DAYS)
        return sum(ended.ending == "needless" and ended.at > since for ended in self._ended)

    def awaited(self) -> str:
        """Tell what has not come to its end; empty when nothing is awaited."""
        if versions := self._rolled_out():
            return f"version {max(versions)} is being rolled out"
        if self._asked is None:
            return ""
        if self._asked.version:
            return f"version {self._asked.version} was trained, and its fate is not told yet"
        return f"one was asked for at {self._asked.asked_at:%Y-%m-%d %H:%M:%S}Z, and training has not answered yet"

    def state(self, now: datetime) -> State:
        """Return where the way from a finding to a new version in force stands; now: wall time.

        Drift tells it, as it alone knows what was asked and when it may ask again; the rest stands on `models`.
        """
        tried = self._rolled_out()
        canary = self._standing.canary
        if tried:
            return "canary" if canary is not None and canary.model_version in tried else "shadow"
        if self._asked is not None:
            return "asked"
        if any(role.actor == _ROLLOUT for role in self._standing.challengers):
            return "watched"
        return "cooling_down" if self.asks_from is not None and now < self.asks_from else "watching"

    def ask(self, request: RetrainingRequest, families: tuple[str, ...], now: datetime) -> None:
        """Remember that `request` is made; now: wall time."""
        self._asked = Asked(request, families, now)
        self._asked_at = now

    def overdue(self, now: datetime) -> Ended | None:
        """Give up a request that was not answered in time; now: wall time."""
        asked = self._asked
        if asked is None or self._rolled_out() or now - asked.asked_at < self._answer_max:
            return None
        return self._end(asked, "failed")

    def take_in(self, event: ModelEvent) -> Ended | None:
        """Follow what is announced; return the retraining that ends with it."""
        if event.model_name != self._model_name:
            return None
        before, self._standing = self._standing.champion, self._standing.after(event)
        ended = self._taken_back(event) or self._answered(event)
        is_other = before is None or before.model_version not in {event.model_version, event.metrics.get(RECALIBRATES)}
        if puts_in_force(event, self._model_name) and event.action == "promoted" and is_other:
            self._asked_at, self._in_vain = None, 0
        return ended

    def _rolled_out(self) -> list[int]:
        """Return the versions that training takes through the stages before they decide."""
        champion, canary, challengers = self._standing
        staged = [*challengers, *([] if canary is None else [canary])]
        newer_than = 0 if champion is None else champion.model_version
        return [
            event.model_version
            for event in staged
            if event.actor in TRAINING_ACTORS and event.model_version > newer_than
        ]

    def _taken_back(self, event: ModelEvent) -> Ended | None:
        promoted = self._promoted
        if promoted is None or not puts_in_force(event, self._model_name) or event.model_version == promoted.version:
            return None
        self._promoted = None
        return self._end(promoted, "rolled_back") if event.action == "rolled_back" else None

    def _answered(self, event: ModelEvent) -> Ended | None:
        asked = self._asked
        if asked is None or not _is_about(event, asked):
            return None
        match event.action:
            case "registered":
                self._asked = replace(asked, version=event.model_version)
            case "promoted":
                self._promoted = replace(asked, version=event.model_version)
                return self._end(asked, "needed")
            case "refused":
                return self._end(asked, "needless" if event.model_version else "failed")
            case "withdrawn" | "archived":
                return self._end(asked, "failed")
        return None

    def _end(self, asked: Asked, ending: Ending) -> Ended:
        if asked is self._asked:
            self._asked = None
        self._in_vain = 0 if ending == "needed" else min(self._in_vain + 1, _DOUBLINGS_MAX)
        ended = asked.ended(ending)
        self._ended.append(ended)
        return ended


def _is_about(event: ModelEvent, asked: Asked) -> bool:
    if asked.version:
        return event.model_version == asked.version
    is_later = event.trace_id == asked.request.trace_id or event.occurred_at >= asked.asked_at
    return is_later and event.actor in TRAINING_ACTORS and event.action in {"registered", "promoted", "refused"}
