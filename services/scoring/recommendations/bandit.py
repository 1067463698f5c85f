"""Fills the explored place of lists: Thompson sampling over a linear model of clicks (Agrawal, Goyal, 2013).

Of the model's coefficients DRAWS are drawn from the posterior whenever it is refreshed, and a choice takes the best by
one of them. So the probability of each choice is known exactly: it is the share of draws by which an item is best.
"""

import random
import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.scoring.recommendations.arranging import Candidate, Explorer
from services.scoring.recommendations.bandit_learning import DAYS_KEPT, Evidence, Learning
from services.scoring.recommendations.contexts import FEATURES, Contexts, Moment, contexts_of
from services.scoring.recommendations.following import Follower
from services.scoring.recommendations.popularity import day_of
from services.scoring.recommendations.trials import Trials
from services.scoring.recommendations.trust import Trust
from shared.bus.base import Bus, Record
from shared.contracts.events import Event
from shared.contracts.shopping import Impression, Interaction
from shared.contracts.topics import IMPRESSIONS, INTERACTIONS
from shared.runtime import metrics
from shared.runtime.clock import Clock

Draws = npt.NDArray[np.float64]
"""Shape (DRAWS, len(FEATURES)): coefficients."""

DRAWS = 256
KEPT_A_DAY = 0.7
"""What a trial counts a day later: tastes change, and in the simulated shop (tests/simulation) this finds out soon."""
UNIFORM_SHARE = 0.1
"""Of what the bandit chooses itself, so much is chosen blindly: every item of a pool has some probability."""

_PRIOR_PRECISION = 1.0
_NOISE = 0.25
"""Standard deviation of a click, a 0 or a 1, around its probability."""

_NOTHING_EXPLORED = b'"exploration":null}'


class Choice(NamedTuple):
    """Position in the pool, and the probability of each position."""

    chosen: int
    propensities: npt.NDArray[np.float64]


class _Known(NamedTuple):
    draws: Draws
    trials: dict[str, Trials]


def draws_of(evidence: Evidence) -> Draws:
    """Return DRAWS coefficients from the posterior; the same evidence gives the same."""
    precision = _PRIOR_PRECISION * np.eye(len(FEATURES)) + evidence.squares
    mean = np.linalg.solve(precision, evidence.clicked)
    seed = zlib.crc32(precision.tobytes() + mean.tobytes())
    normal = np.random.default_rng(seed).standard_normal((len(FEATURES), DRAWS))
    spread = np.linalg.solve(np.linalg.cholesky(precision).T, normal)
    return np.ascontiguousarray((mean[:, np.newaxis] + _NOISE * spread).T)


def choose(draws: Draws, contexts: Contexts, share: float, draw: float) -> Choice:
    """Return who fills the place.

    share: the probability that the choice is the bandit's; else the first of the pool is shown.
    draw: a number uniform in [0, 1).
    """
    values = contexts @ draws.T
    is_best = (values == values.max(axis=0)).astype(np.float64)
    # Items that nothing tells apart, such as new ones, share a draw.
    best_share = is_best @ (1 / is_best.sum(axis=0)) / len(draws)
    own = (1 - UNIFORM_SHARE) * best_share + UNIFORM_SHARE / len(contexts)
    propensities = share * own
    propensities[0] += 1 - share
    bounds = np.cumsum(propensities)
    chosen = int(np.searchsorted(bounds[:-1], draw * bounds[-1], side="right"))
    return Choice(chosen, np.minimum(propensities, 1.0))


class Bandit(Follower):
    """Learns from `impressions` and the clicks on `interactions`; every replica comes to the same."""

    name = "bandit"

    def __init__(
        self,
        bus: Bus,
        trust: Trust,
        clock: Clock,
        *,
        popularity: Callable[[str], float],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Wire it; popularity: see Audience.popularity. draw: returns numbers uniform in [0, 1)."""
        super().__init__(
            bus, [IMPRESSIONS, INTERACTIONS], clock, reads_back=timedelta(days=DAYS_KEPT + 1), in_order=True
        )
        self._trust = trust
        self._popularity = popularity
        self._draw = draw
        self.begin()
        self.publish()

    def explorer(self, moment: Moment) -> Explorer:
        """Return who chooses at a moment."""
        return _AtMoment(self, moment)

    def contexts(self, pool: Sequence[Candidate], moment: Moment) -> Contexts:
        """Return what the items of a pool are judged by."""
        return contexts_of(pool, moment, self._popularity, self.trials)

    def choose(self, contexts: Contexts, share: float) -> Choice:
        """Return who fills the place; share: the probability that it is the bandit's choice, not the pool's first."""
        return choose(self._known.draws, contexts, share, self._draw())

    def trials(self, item_id: str) -> Trials:
        """Return how an item fared in the explored place; "" stands for all items together."""
        return self._known.trials.get(item_id, Trials())

    def is_flawed(self) -> bool:
        return not self._is_judged and self._trust.reachable()

    def concerns(self, record: Record) -> bool:
        """Tell whether a record may be a click, or a list with an explored place: most lists have none."""
        return record.topic != IMPRESSIONS.name or not (record.value or b"").endswith(_NOTHING_EXPLORED)

    def begin(self) -> None:
        self._is_judged = True
        self._learning = Learning()
        self._told: tuple[int, int] | None = None

    def take(self, events: Sequence[Event]) -> None:
        relevant = [event for event in events if isinstance(event, Impression | Interaction) and _teaches(event)]
        judged = self._trust.of([event.user_id for event in relevant])
        self._is_judged &= judged.is_complete
        self._learning.take(relevant, judged.trust, self._clock.now())

    def publish(self) -> None:
        learning, now = self._learning, self._clock.now()
        if self._told == (learning.changes, day_of(now)):
            return
        evidence = learning.evidence(now, kept_a_day=KEPT_A_DAY)
        self._known = _Known(draws_of(evidence), learning.trials(now, kept_a_day=KEPT_A_DAY))
        every = self.trials("")
        metrics.EXPLORED_LISTS.labels("shown").set(every.shown)
        metrics.EXPLORED_LISTS.labels("clicked").set(every.clicked)
        self._told = (learning.changes, day_of(now))


class _AtMoment:
    """An Explorer."""

    def __init__(self, bandit: Bandit, moment: Moment) -> None:
        self._bandit = bandit
        self._moment = moment

    def choose(self, pool: Sequence[Candidate], share: float) -> tuple[int, list[float], list[list[float]]]:
        contexts = self._bandit.contexts(pool, self._moment)
        chosen, propensities = self._bandit.choose(contexts, share)
        return chosen, propensities.tolist(), contexts.tolist()


def _teaches(event: Impression | Interaction) -> bool:
    return event.exploration is not None if isinstance(event, Impression) else event.recommendation_id is not None
