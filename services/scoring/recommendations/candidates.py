"""Who may stand in a list: the best of a model's items, or of a ranking, that may be shown to this shopper."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.scoring.recommendations.arranging import Candidate
from services.scoring.recommendations.asked import Asked, Merchandising
from services.scoring.recommendations.catalogue import Catalogue
from services.scoring.recommendations.past import Known, Past, Positions
from services.scoring.recommendations.recommending import Recommending
from services.scoring.recommendations.tracing import ENTRIES_MAX, Moved, Removed, Stage, stage
from shared.features.state import identity

LOOKED_AT_MAX = 10_000
"""Of a ranking so many are looked at; who filters out all of them gets fewer items, and the trace says so."""

Flags = npt.NDArray[np.bool_]


class Found(NamedTuple):
    """Candidates, best first. stages: what took others out; only if asked for."""

    candidates: list[Candidate]
    stages: list[Stage]


class Scored(NamedTuple):
    """Which model is asked, and how. popularity: 1 as it was trained, 0 without."""

    recommending: Recommending
    past: Past
    segment: int = 0
    popularity: float = 1.0


class _Step(NamedTuple):
    """Items that are taken out, and why."""

    name: str
    why: str
    positions: Positions


def wanted(asked: Asked, merchandising: Merchandising) -> int:
    """Return how many candidates a list needs: rules that put them in another order need more of them."""
    has_rules = (
        merchandising.boosts
        or merchandising.diversity
        or merchandising.exploration
        or merchandising.per_category_max is not None
    )
    return 4 * asked.n + 50 if has_rules else asked.n


def from_model(scored: Scored, asked: Asked, merchandising: Merchandising, now: datetime) -> Found:
    """Return the items that the model finds best."""
    recommending, past = scored.recommending, scored.past
    shelf = recommending.shelf
    mask = shelf.mask(now, asked.category, merchandising.filters)
    stages: list[Stage] = []
    if asked.trace:
        shown = shelf.mask(now, None, [])
        stages += [_compared(recommending, "available", "not available now", np.ones_like(shown), shown)]
        stages += [_compared(recommending, "filters", "not in the category, or a filter is not met", shown, mask)]
    for step in _steps(recommending, past, asked, merchandising):
        if asked.trace:
            stages.append(_taken(recommending, step, mask))
        mask[step.positions] = False
    top = recommending.model.recommend(
        past.items,
        past.weights,
        mask,
        k=min(wanted(asked, merchandising), len(mask)),
        segment=scored.segment,
        popularity=scored.popularity,
    )
    return Found(_candidates(recommending, top.items, top.scores), stages)


def ranked_by_model(scored: Scored, asked: Asked, catalogue: Catalogue, now: datetime) -> Found:
    """Return the caller's own items in the model's order; those that it does not know come last, in the given order."""
    recommending, past = scored.recommending, scored.past
    model = recommending.model
    positions = {item_id: at for item_id in asked.item_ids if (at := model.position(item_id)) is not None}
    mask = np.zeros(len(model.item_ids), dtype=np.bool_)
    own = np.fromiter(positions.values(), dtype=np.int64, count=len(positions))
    mask[own] = recommending.shelf.mask(now, None, [])[own]
    top = model.recommend(past.items, past.weights, mask, k=len(own), segment=scored.segment) if len(own) else None
    known = _candidates(recommending, top.items, top.scores) if top else []
    # An item without a score must not stand in the list with a better one than those before it.
    lowest = min((candidate.score for candidate in known), default=0.0)
    others = [item_id for item_id in asked.item_ids if item_id not in positions]
    unknown = [item_id for item_id in others if catalogue.is_shown(item_id, now, None, [])]
    candidates = [*known, *(Candidate(item_id, min(0.0, lowest)) for item_id in unknown)]
    return Found(candidates, _told_of_ranking(asked, candidates, unknown) if asked.trace else [])


def from_ranking(
    ranking: Iterable[tuple[str, float]],
    known: Known,
    asked: Asked,
    merchandising: Merchandising,
    catalogue: Catalogue,
    now: datetime,
) -> Found:
    """Return the first of a ranking, best first, that may be shown."""
    taken: dict[str, list[str]] = {}
    candidates: list[Candidate] = []
    count = wanted(asked, merchandising)
    for item_id, score in islice(ranking, LOOKED_AT_MAX):
        if not catalogue.is_shown(item_id, now, asked.category, merchandising.filters):
            taken.setdefault("not available, not in the category, or a filter is not met", []).append(item_id)
        elif why := why_not(item_id, known, asked, merchandising):
            taken.setdefault(why, []).append(item_id)
        else:
            candidates.append(Candidate(item_id, score))
            if len(candidates) == count:
                break
    removed = [Removed(item_id=item_id, why=why) for why, item_ids in taken.items() for item_id in item_ids]
    told = Stage(name="ranking", kept=len(candidates), removed_total=len(removed), removed=removed[:ENTRIES_MAX])
    return Found(candidates, [told] if asked.trace else [])


def why_not(item_id: str, known: Known, asked: Asked, merchandising: Merchandising) -> str | None:
    """Return what keeps an item from this shopper; None where nothing does."""
    if item_id in asked.exclude:
        return "the request excludes it"
    if not known.seen:
        return None
    hashed = identity(item_id)
    if merchandising.exclude_bought and hashed in known.bought:
        return "the shopper bought it"
    if hashed in known.disliked:
        return "the shopper dislikes it"
    return "the shopper has seen it" if merchandising.exclude_seen and hashed in known.seen else None


def _steps(recommending: Recommending, past: Past, asked: Asked, merchandising: Merchandising) -> list[_Step]:
    steps = [_Step("disliked", "the shopper dislikes it", past.disliked)]
    if merchandising.exclude_bought:
        steps.append(_Step("bought", "the shopper bought it", past.bought))
    if merchandising.exclude_seen:
        steps.append(_Step("seen", "the shopper has seen it", past.seen))
    if asked.exclude:
        positions = [at for item_id in asked.exclude if (at := recommending.model.position(item_id)) is not None]
        steps.append(_Step("excluded", "the request excludes it", np.array(positions, dtype=np.int64)))
    return steps


def _candidates(recommending: Recommending, positions: Positions, scores: npt.NDArray[np.float32]) -> list[Candidate]:
    item_ids = recommending.model.item_ids
    return [Candidate(item_ids[at], score) for at, score in zip(positions.tolist(), scores.tolist(), strict=True)]


def _compared(recommending: Recommending, name: str, why: str, before: Flags, after: Flags) -> Stage:
    return _stage(recommending, name, why, np.flatnonzero(before & ~after), kept=int(after.sum()))


def _taken(recommending: Recommending, step: _Step, mask: Flags) -> Stage:
    positions = np.unique(step.positions[mask[step.positions]])
    return _stage(recommending, step.name, step.why, positions, kept=int(mask.sum()) - len(positions))


def _stage(recommending: Recommending, name: str, why: str, positions: Positions, *, kept: int) -> Stage:
    """Return a stage that names the first of many."""
    item_ids = recommending.model.item_ids
    removed = [Removed(item_id=item_ids[at], why=why) for at in positions[:ENTRIES_MAX].tolist()]
    return Stage(name=name, kept=kept, removed_total=len(positions), removed=removed)


def _told_of_ranking(asked: Asked, candidates: Sequence[Candidate], unknown: Sequence[str]) -> list[Stage]:
    shown = {candidate.item_id for candidate in candidates}
    gone = [Removed(item_id=item_id, why="not available now") for item_id in asked.item_ids if item_id not in shown]
    first = len(candidates) - len(unknown)
    last = [
        Moved(item_id=item_id, origin=asked.item_ids.index(item_id), place=place, why="the model does not know it")
        for place, item_id in enumerate(unknown, start=first)
    ]
    return [stage("available", len(shown), removed=gone), stage("unknown", len(shown), moved=last)]
