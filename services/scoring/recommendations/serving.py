"""The way of a question: what is known of the shopper, candidates, the shop's rules, reasons, the log, the answer."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from msgspec import UNSET, UnsetType

from services.scoring.recommendations.answers import Degradation, RecommendationAnswer, RecommendedItem
from services.scoring.recommendations.arranging import Arranged, arranged, merged
from services.scoring.recommendations.asked import Asked, Condition, Merchandising
from services.scoring.recommendations.audience import Audience
from services.scoring.recommendations.candidates import Scored
from services.scoring.recommendations.catalogue import Catalogue
from services.scoring.recommendations.choosing import Chosen, Question, chosen
from services.scoring.recommendations.exploring import Explorers
from services.scoring.recommendations.impressions import RECENT_MAX, Impressions
from services.scoring.recommendations.policy.policy import RecommendationPolicy
from services.scoring.recommendations.reasons import NEW, explained
from services.scoring.recommendations.recommending import Recommending
from services.scoring.recommendations.shoppers import NOBODY, Shopper, ShopperReader
from services.scoring.roles import Roles
from shared.contracts.ids import new_event_id, new_trace_id
from shared.contracts.shopping import Impression, ShownItem, Surface
from shared.intake.problems import NotTakenError
from shared.models.manifest import RECOMMENDATION
from shared.runtime import metrics
from shared.runtime.clock import Clock

_PERSONAL: frozenset[Surface] = frozenset({"user", "rank"})
"""Questions whose answer a shopper's history changes; on other pages, who sees them is for the record only."""


class InForce(NamedTuple):
    """What answers now. problem: tells what is not known yet; until it is, nothing must be answered."""

    roles: Callable[[], Roles[Recommending]]
    policy: Callable[[], RecommendationPolicy]
    catalogue: Catalogue
    audience: Audience
    explorers: Explorers
    problem: Callable[[], str | None]


class _Visitor(NamedTuple):
    """Who is shown a list. subject: user or session, for whatever must stay the same from visit to visit."""

    subject: str
    trace_id: str
    recent: list[str]


class Recommendations:
    """Answers questions for items; for one event loop."""

    def __init__(self, in_force: InForce, shoppers: ShopperReader, impressions: Impressions, clock: Clock) -> None:
        self._in_force = in_force
        self._shoppers = shoppers
        self._impressions = impressions
        self._clock = clock

    async def answer(self, asked: Asked, *, trace_id: str | None = None) -> RecommendationAnswer:
        """Return the answer, and have it on record that its items were shown, where there are any.

        trace_id: of the request, where it has one.

        Raises:
            NotTakenError: it is not known yet what answers.
            NotFoundError: nobody knows the item that others are to be similar to.
        """
        started = self._clock.monotonic_seconds()
        if (problem := self._in_force.problem()) is not None:
            raise NotTakenError("starting", problem)
        shopper = NOBODY
        if asked.user_id is not None and asked.surface in _PERSONAL:
            shopper = await self._shoppers.read(asked.user_id)
        answer = self._answered(asked, shopper, trace_id or new_trace_id())
        metrics.RECOMMENDATIONS.labels(asked.surface, ",".join(answer.degraded), _audience(asked, shopper)).inc()
        metrics.RECOMMENDATION_SECONDS.labels(asked.surface).observe(self._clock.monotonic_seconds() - started)
        return answer

    def _answered(self, asked: Asked, shopper: Shopper, trace_id: str) -> RecommendationAnswer:
        now, catalogue = self._clock.now(), self._in_force.catalogue
        recommendation_id = new_event_id(now)
        # Whoever cannot be told from others is somebody new each time.
        subject = asked.user_id or asked.session_id or recommendation_id
        recommending, _ = self._in_force.roles().model_for(subject)
        policy = self._in_force.policy()
        terms = policy.terms(subject)
        question = Question(asked, now, _applying(terms.merchandising, asked), recommending)
        sources = chosen(question, shopper, catalogue, self._in_force.audience)
        recent = _recent(sources.scored)
        shown = arranged(
            sources.found.candidates,
            catalogue.item,
            question.merchandising,
            asked.n,
            self._in_force.explorers.exploring(question, sources, recent),
            trace=asked.trace,
        )
        answer = RecommendationAnswer(
            recommendation_id=recommendation_id,
            items=_items(question, sources, shown),
            model_name=RECOMMENDATION,
            model_version=sources.scored.recommending.manifest.model_version if sources.scored else 0,
            policy_version=policy.version,
            experiment=terms.experiment,
            arm=terms.arm,
            degraded=[*_missing(shopper), *sources.degraded],
            notes=UNSET if shown.placed else _notes(question),
            trace=[*sources.found.stages, *shown.stages] if asked.trace else UNSET,
        )
        visitor = _Visitor(subject, trace_id, recent)
        if shown.placed and not self._impressions.publish(_impression(answer, question, shown, visitor)):
            answer.degraded.append("impressions")
        return answer


def _audience(asked: Asked, shopper: Shopper) -> Literal["known", "new", "anyone"]:
    """Return whom a question is about: a shopper with a history, one without, or nobody in particular."""
    if asked.user_id is None or asked.surface not in _PERSONAL:
        return "anyone"
    return "known" if len(shopper.records) else "new"


def _applying(policy: Merchandising, asked: Asked) -> Merchandising:
    """Return the shop's rules as they apply to a question; of a caller's own items nothing is taken away."""
    if asked.surface != "rank":
        return merged(policy, asked.changes)
    return Merchandising(exclude_bought=False, exclude_seen=False, boosts=policy.boosts, diversity=policy.diversity)


def _missing(shopper: Shopper) -> list[Degradation]:
    return [] if shopper.is_known else ["history"]


def _items(question: Question, sources: Chosen, shown: Arranged) -> list[RecommendedItem]:
    exploration = shown.exploration
    explored_at = exploration.place if exploration is not None and exploration.chosen else None
    if sources.scored is not None:
        return explained(sources.scored, shown.placed, explored_at=explored_at, explain=question.asked.explain)
    return [
        RecommendedItem(
            item_id=item.item_id, score=item.score, reason=NEW if item.item_id in sources.new else sources.reason
        )
        for item in shown.placed
    ]


def _notes(question: Question) -> list[str] | UnsetType:
    """Return what no item has that the filters ask for; UNSET where there is nothing to tell."""
    if question.recommending is None:
        return UNSET
    shelf, now = question.recommending.shelf, question.now
    category, filters = question.asked.category, question.merchandising.filters
    attributes = dict.fromkeys(condition.attribute for condition in filters)
    missing = [each for each in attributes if not shelf.mask(now, None, [Condition(attribute=each)]).any()]
    notes = [f"no item that may be shown has the attribute {attribute}" for attribute in missing]
    if category is not None and not shelf.mask(now, category, []).any():
        notes.append(f"no item that may be shown is in the category {category}")
    return notes or UNSET


def _recent(scored: Scored | None) -> list[str]:
    """Return the latest items of the history that the model saw, each once."""
    if scored is None:
        return []
    item_ids = scored.recommending.model.item_ids
    return [item_ids[at] for at in dict.fromkeys(scored.past.items.tolist())][:RECENT_MAX]


def _impression(answer: RecommendationAnswer, question: Question, shown: Arranged, visitor: _Visitor) -> Impression:
    return Impression(
        event_id=answer.recommendation_id,
        occurred_at=question.now,
        trace_id=visitor.trace_id,
        recommendation_id=answer.recommendation_id,
        user_id=visitor.subject,
        surface=question.asked.surface,
        items=[ShownItem(item_id=item_id, score=score, propensity=p) for item_id, score, p in shown.placed],
        recent=visitor.recent,
        model_name=answer.model_name,
        model_version=answer.model_version,
        policy_version=answer.policy_version,
        experiment=answer.experiment,
        arm=answer.arm,
        exploration=shown.exploration,
    )
