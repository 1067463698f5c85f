"""What a person may do with registered versions: promote one, go back to the one before, try one, put one away.

A version is tried as a challenger, which scores every payment and decides none, or as the canary, which decides about a
share of the cards; shared/models/lineage.py says how these roles end.

Each function decides from what has been announced, and returns the event to announce or raises RefusedError; it is
meant for ModelLog.append, so that nothing is announced in between.
"""

from datetime import datetime
from typing import Literal, NamedTuple

from services.training.model_log import ACTOR, History
from services.training.refusal import RefusedError
from services.training.rollout.stages import ROLLOUT
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent
from shared.contracts.ids import new_event_id, new_trace_id
from shared.models import lineage
from shared.models.manifest import MODEL_NAME

_SERVICES = frozenset({ACTOR, ROLLOUT, "drift", "recalibration"})
_Action = Literal["promoted", "rolled_back", "archived", "shadowed", "canaried", "withdrawn"]


class Model(NamedTuple):
    """A model by its name. feature_version: digest of what is computed for it; versions for another cannot serve."""

    name: str
    feature_version: str


class Order(NamedTuple):
    """Who wants something done to a version, why and when."""

    actor: str
    reason: str
    at: datetime


def registration(history: History, version: int, model_name: str = MODEL_NAME) -> ModelEvent:
    """Return the event that announced a version of a model, with its digests.

    Raises:
        RefusedError: no_version.
    """
    announced = {event.model_version: event for event in of_model(history, model_name) if event.action == "registered"}
    if version not in announced:
        there = ", ".join(map(str, announced)) or "none yet"
        raise RefusedError("no_version", f"no version {version} of {model_name} was ever registered; there is {there}")
    return announced[version]


def of_model(history: History, model_name: str) -> list[ModelEvent]:
    """Return the events of a model, oldest first."""
    return [event for event in history.events if event.model_name == model_name]


def promotion(history: History, version: int, order: Order, model: Model) -> ModelEvent:
    """Return the promotion of `version`, over whatever the gates said.

    Raises:
        RefusedError: no_version, archived, in_force already, other_features than the model's, or a bad order.
    """
    chosen = registration(history, version, model.name)
    if lineage.is_archived(history.events, model.name, version):
        raise RefusedError("archived", f"version {version} was archived; promote another, or train one")
    if _version_in_force(history, model.name) == version:
        raise RefusedError("in_force", f"version {version} is in force already")
    _require_features(chosen, model)
    return _event("promoted", chosen, order)


def rollback(history: History, order: Order, model: Model) -> ModelEvent:
    """Return the rollback to the version that was in force before the present one.

    Raises:
        RefusedError: no_previous, other_features than the model's, or a bad order.
    """
    target = lineage.previous(history.events, model.name)
    if target is None:
        raise RefusedError(
            "no_previous", "there is no earlier version to go back to; promote one with `headrace models promote`"
        )
    chosen = registration(history, target.model_version, model.name)
    _require_features(chosen, model)
    return _event("rolled_back", chosen, order)


def archiving(history: History, version: int, order: Order, model: Model) -> ModelEvent:
    """Return the event that puts a version away: no promotion and no rollback can bring it back.

    Raises:
        RefusedError: no_version, archived already, in_force, or a bad order.
    """
    chosen = registration(history, version, model.name)
    if lineage.is_archived(history.events, model.name, version):
        raise RefusedError("archived", f"version {version} is archived already")
    if _version_in_force(history, model.name) == version:
        raise RefusedError("in_force", f"version {version} is in force; promote another or roll back first")
    return _event("archived", chosen, order)


def shadowing(history: History, version: int, order: Order, model: Model) -> ModelEvent:
    """Return the event that makes a version a challenger.

    Raises:
        RefusedError: no_version, archived, in_force, challenger already, other_features, or a bad order.
    """
    chosen = _to_be_tried(history, version, model)
    if version in {event.model_version for event in _standing(history, model.name).challengers}:
        raise RefusedError("challenger", f"version {version} is a challenger already")
    return _event("shadowed", chosen, order)


def canarying(history: History, version: int, share: float, order: Order, model: Model) -> ModelEvent:
    """Return the event that makes a version the canary for `share` of the cards, in the place of another one.

    Raises:
        RefusedError: no_version, archived, in_force, no_champion, other_features, or a bad order, as a share that does
            not lie between 0 and 1.
    """
    chosen = _to_be_tried(history, version, model)
    if _version_in_force(history, model.name) is None:
        raise RefusedError(
            "no_champion",
            "no version is in force to decide about the other cards; promote one with `headrace models promote`",
        )
    return _event("canaried", chosen, order, share=share)


def withdrawal(history: History, version: int, order: Order, model: Model) -> ModelEvent:
    """Return the event that ends a version's trial, as canary or as challenger.

    Raises:
        RefusedError: no_version, not_on_trial, or a bad order.
    """
    chosen, now = registration(history, version, model.name), _standing(history, model.name)
    if version not in {event.model_version for event in (now.canary, *now.challengers) if event is not None}:
        raise RefusedError("not_on_trial", f"version {version} is neither canary nor challenger")
    return _event("withdrawn", chosen, order)


def _to_be_tried(history: History, version: int, model: Model) -> ModelEvent:
    chosen = registration(history, version, model.name)
    if lineage.is_archived(history.events, model.name, version):
        raise RefusedError("archived", f"version {version} was archived; try another, or train one")
    if _version_in_force(history, model.name) == version:
        raise RefusedError("in_force", f"version {version} is in force; it decides already")
    _require_features(chosen, model)
    return chosen


def _standing(history: History, model_name: str) -> lineage.Standing:
    return lineage.standing(history.events, model_name)


def _version_in_force(history: History, model_name: str) -> int | None:
    champion = history.champion(model_name)
    return None if champion is None else champion.model_version


def _require_features(chosen: ModelEvent, model: Model) -> None:
    if chosen.feature_version != model.feature_version:
        raise RefusedError(
            "other_features",
            f"version {chosen.model_version} was made for features {chosen.feature_version[:12]}, computed are "
            f"{model.feature_version[:12]}; run the code it was trained with, or train a new one",
        )


def _event(action: _Action, chosen: ModelEvent, order: Order, *, share: float | None = None) -> ModelEvent:
    if order.actor in _SERVICES:
        raise RefusedError("bad_order", f"{order.actor!r} is what a service signs with; give a person's name")
    event = ModelEvent(
        event_id=new_event_id(order.at),
        occurred_at=order.at,
        trace_id=new_trace_id(),
        model_name=chosen.model_name,
        model_version=chosen.model_version,
        action=action,
        share=share,
        model_digest=chosen.model_digest,
        manifest_digest=chosen.manifest_digest,
        data_digest=chosen.data_digest,
        feature_version=chosen.feature_version,
        actor=order.actor,
        reason=order.reason,
        previous_digest=None,
    )
    try:
        return codec.decode(ModelEvent, codec.encode(event))
    except BadRecordError as error:
        raise RefusedError("bad_order", f"this cannot be announced: {error}") from error
