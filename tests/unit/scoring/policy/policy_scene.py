"""Policies and payments for tests, with everything a test does not care about filled in."""

from typing import Any

from services.scoring.policy.policy import Judgement, Policy, policy_of
from shared.bus.base import Bus, Outgoing
from shared.contracts import codec
from shared.contracts.events import FeatureVector, ListedEntity, ListEvent, ListName
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import LISTS
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Thresholds
from tests.events import FRESH, START, TRACE_ID, payment

THRESHOLDS = Thresholds(review=0.5, decline=0.9)


def rule(code: str, when: str, action: str, reason: str = "a test") -> str:
    return f"- code: {code}\n  when: '{when}'\n  action: {action}\n  reason: '{reason}'\n"


def with_rules(*rules: str) -> str:
    return "rules:\n" + "".join(rules)


def policy(text: str = "{}") -> Policy:
    return policy_of(text, version=1)


def vector(features: dict[str, float] | None = None, **fields: Any) -> FeatureVector:
    """Return a payment whose features are 0 but for some."""
    event = payment("t1", **fields)
    values = dict.fromkeys(FRAUD.feature_names, 0.0) | (features or {})
    return FeatureVector(
        event_id=derived_event_id(event.occurred_at, "features", event.transaction_id),
        occurred_at=event.occurred_at,
        trace_id=TRACE_ID,
        transaction=event,
        feature_set=FRAUD.name,
        feature_version=FRAUD.version,
        values=list(values.values()),
        freshness=FRESH,
    )


def judged(
    text: str,
    of: FeatureVector | None = None,
    *,
    score: float | None = 0.1,
    listed: tuple[str, ...] = (),
) -> Judgement:
    return policy(text).judge(of or vector(), score, THRESHOLDS, listed, fallback="review")


def codes(judgement: Judgement) -> list[str]:
    return [reason.code for reason in judgement.reasons]


def list_event(name: ListName, entity: ListedEntity, value: str, **fields: Any) -> ListEvent:
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(START, "lists", name, entity, value),
        "occurred_at": START,
        "trace_id": TRACE_ID,
        "action": "added",
        "actor": "ada",
        "reason": "a test",
    }
    return ListEvent(list_name=name, entity=entity, value=value, **(defaults | fields))


def announce(bus: Bus, event: ListEvent) -> None:
    bus.publisher().send(Outgoing(LISTS.name, event.value.encode(), codec.encode(event))).result()
