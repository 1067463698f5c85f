"""Candidates for each kind of question; without a model, or for what it does not know, what is popular now."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from services.scoring.recommendations.answers import Degradation, ItemReason
from services.scoring.recommendations.asked import Asked, Merchandising
from services.scoring.recommendations.audience import Audience
from services.scoring.recommendations.candidates import (
    LOOKED_AT_MAX,
    Found,
    Scored,
    from_model,
    from_ranking,
    ranked_by_model,
    wanted,
)
from services.scoring.recommendations.catalogue import Catalogue
from services.scoring.recommendations.past import known_of, past_item, past_of, with_recent
from services.scoring.recommendations.reasons import POPULAR, TRENDING
from services.scoring.recommendations.recommending import Recommending
from services.scoring.recommendations.shoppers import NOBODY, Shopper
from services.scoring.recommendations.tracing import Removed, Stage, stage
from shared.intake.problems import NotFoundError
from shared.recommendation.history import Records


class Question(NamedTuple):
    """A question, and what applies to it. recommending: None while no model is in service."""

    asked: Asked
    now: datetime
    merchandising: Merchandising
    recommending: Recommending | None


class Chosen(NamedTuple):
    """Candidates, and where they come from.

    scored: None where no model scored them; then `reason` is that of all but those that are `new`. records: the
    shopper's, where they count.
    """

    found: Found
    scored: Scored | None = None
    reason: ItemReason = POPULAR
    new: frozenset[str] = frozenset()
    degraded: tuple[Degradation, ...] = ()
    records: Records = NOBODY.records


def chosen(question: Question, shopper: Shopper, catalogue: Catalogue, audience: Audience) -> Chosen:
    """Return the candidates for a question; raises NotFoundError."""
    match question.asked.surface:
        case "popular":
            return Chosen(_ranking(question, audience.popular(), catalogue))
        case "trending":
            return Chosen(_ranking(question, audience.trending(), catalogue), reason=TRENDING)
        case "similar":
            return _similar(question, catalogue, audience)
        case "rank":
            return _ranked(question, shopper, catalogue, audience)
        case _:
            return _for_shopper(question, shopper, catalogue, audience)


def _for_shopper(question: Question, shopper: Shopper, catalogue: Catalogue, audience: Audience) -> Chosen:
    asked, now, merchandising, recommending = question
    records = with_recent(shopper.records, asked.recent, now)
    if recommending is None:
        return _without_model(question, records, catalogue, audience, "model")
    scored = _scored(recommending, records, shopper, question)
    candidates, stages = from_model(scored, asked, merchandising, now)
    return Chosen(Found(candidates, [*_told_of_history(scored, asked), *stages]), scored, records=records)


def _similar(question: Question, catalogue: Catalogue, audience: Audience) -> Chosen:
    (item_id,) = question.asked.item_ids
    asked = question.asked._replace(exclude=question.asked.exclude | {item_id})
    recommending = question.recommending
    position = recommending.model.position(item_id) if recommending is not None else None
    if recommending is not None and position is not None:
        scored = Scored(recommending, past_item(position), popularity=0.0)
        return Chosen(from_model(scored, asked, question.merchandising, question.now), scored)
    item = catalogue.item(item_id)
    if item is None:
        raise NotFoundError(
            "unknown_item",
            f"no item {item_id} is known",
            field="item_id",
            hint="Send its id as interactions have it, or put the item into the catalogue: PUT /v1/items/{item_id}.",
        )
    # Better what is like it in one respect than nothing.
    category = asked.category or next(iter(item.categories), None)
    question = question._replace(asked=asked._replace(category=category))
    missing: Degradation = "model" if recommending is None else "item"
    return _without_model(question, NOBODY.records, catalogue, audience, missing)


def _without_model(
    question: Question, records: Records, catalogue: Catalogue, audience: Audience, missing: Degradation
) -> Chosen:
    """Return what is popular now, and behind it, where that is too little, what came into the catalogue last."""
    asked, now, merchandising, _ = question
    known = known_of(records)
    popular, stages = from_ranking(audience.popular(), known, asked, merchandising, catalogue, now)
    lacking = wanted(asked, merchandising) - len(popular)
    if lacking <= 0:
        return Chosen(Found(popular, stages), degraded=(missing,))
    there = {candidate.item_id for candidate in popular}
    others = ((item_id, 0.0) for item_id in catalogue.latest(LOOKED_AT_MAX) if item_id not in there)
    latest = from_ranking(others, known, asked, merchandising, catalogue, now)
    return Chosen(
        Found([*popular, *latest.candidates[:lacking]], [*stages, *latest.stages]),
        new=frozenset(candidate.item_id for candidate in latest.candidates),
        degraded=(missing,),
    )


def _ranked(question: Question, shopper: Shopper, catalogue: Catalogue, audience: Audience) -> Chosen:
    asked, now, _, recommending = question
    if recommending is not None:
        scored = _scored(recommending, with_recent(shopper.records, asked.recent, now), shopper, question)
        candidates, stages = ranked_by_model(scored, asked, catalogue, now)
        return Chosen(Found(candidates, [*_told_of_history(scored, asked), *stages]), scored)
    by_popularity = sorted(((item_id, audience.popularity(item_id)) for item_id in asked.item_ids), key=_score)
    return Chosen(_ranking(question, by_popularity, catalogue), degraded=("model",))


def _score(ranked: tuple[str, float]) -> float:
    return -ranked[1]


def _ranking(question: Question, ranking: Iterable[tuple[str, float]], catalogue: Catalogue) -> Found:
    """Return who of a ranking may be shown to anybody."""
    asked, now, merchandising, _ = question
    return from_ranking(ranking, known_of(NOBODY.records), asked, merchandising, catalogue, now)


def _scored(recommending: Recommending, records: Records, shopper: Shopper, question: Question) -> Scored:
    past = past_of(recommending.model, records, question.now)
    return Scored(recommending, past, recommending.segment_of(shopper.user, question.asked.context))


def _told_of_history(scored: Scored, asked: Asked) -> list[Stage]:
    """Return how much of the history counts, and what of this moment does not; nothing where no trace is asked for."""
    if not asked.trace:
        return []
    model, recent = scored.recommending.model, (each.item_id for each in asked.recent)
    unknown = [
        Removed(item_id=item_id, why="the model does not know it")
        for item_id in dict.fromkeys(recent)
        if model.position(item_id) is None
    ]
    return [stage("history", len(scored.past.items), removed=unknown)]
