"""Items of the catalogue that no model knows yet, for the bandit to try."""

import threading
from collections.abc import Callable

from services.scoring.recommendations.arranging import Candidate
from services.scoring.recommendations.catalogue import Catalogue
from services.scoring.recommendations.trials import Trials
from shared.runtime.clock import Clock

REMEMBERED = 1_000
"""So many of the items whose entries changed last are looked at."""
TRIED_ENOUGH = 30
"""An item that was tried less often comes before the others; those are ranked by clicks."""

_RANKED = 64
_FRESH_SECONDS = 1.0


class NewItems:
    """Listens to the catalogue; one event loop asks it."""

    def __init__(self, catalogue: Catalogue, trials: Callable[[str], Trials], clock: Clock) -> None:
        """Wire it; trials: see Bandit.trials."""
        self._trials = trials
        self._clock = clock
        self._lock = threading.Lock()
        self._changed: dict[str, None] = {}
        self._ranked: list[str] = []
        self._ranked_seconds: float | None = None
        catalogue.tell(self)

    def changed(self, item_id: str) -> None:
        """Take note of a changed entry, on the catalogue's thread."""
        with self._lock:
            self._changed.pop(item_id, None)
            self._changed[item_id] = None
            if len(self._changed) > REMEMBERED:
                del self._changed[next(iter(self._changed))]

    def candidates(
        self, knows: Callable[[str], bool], may_be_shown: Callable[[str], bool], *, n: int = 5
    ) -> list[Candidate]:
        """Return at most `n` items that are to be tried, without a score; knows: tells whether the model knows one."""
        now_seconds = self._clock.monotonic_seconds()
        if self._ranked_seconds is None or now_seconds - self._ranked_seconds >= _FRESH_SECONDS:
            self._ranked, self._ranked_seconds = self._rank(knows), now_seconds
        found: list[Candidate] = []
        for item_id in self._ranked:
            if len(found) == n:
                break
            if not knows(item_id) and may_be_shown(item_id):
                found.append(Candidate(item_id, 0.0))
        return found

    def _rank(self, knows: Callable[[str], bool]) -> list[str]:
        with self._lock:
            latest_first = list(reversed(self._changed))
        return sorted((item_id for item_id in latest_first if not knows(item_id)), key=self._turn)[:_RANKED]

    def _turn(self, item_id: str) -> tuple[bool, float]:
        trials = self._trials(item_id)
        is_tried = trials.shown >= TRIED_ENOUGH
        return is_tried, -trials.click_share if is_tried else trials.shown
