"""What a person may do with versions, and what is refused with a reason."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from services.training.model_log import History
from services.training.refusal import RefusedError
from services.training.releases import (
    Model,
    Order,
    archiving,
    canarying,
    promotion,
    rollback,
    shadowing,
    withdrawal,
)
from shared.contracts.events import ModelEvent
from shared.features.catalog.fraud import FRAUD
from tests.models import TRAINED_AT, manifest_of, registered

MODEL = Model("fraud", FRAUD.version)
ORDER = Order("anna", "fewer reviews", TRAINED_AT + timedelta(days=1))


def version(number: int, feature_version: str = FRAUD.version) -> ModelEvent:
    onnx = str(number).encode()
    return registered(manifest_of(number, onnx, feature_version=feature_version), manifest_digest="a" * 64)


def history(*events: ModelEvent) -> History:
    return History(events)


def did(event: ModelEvent, action: str) -> ModelEvent:
    return replace(event, action=action)


ONE, TWO, THREE = version(1), version(2), version(3)
TWO_IN_FORCE = history(ONE, did(ONE, "promoted"), TWO, did(TWO, "promoted"), THREE)


def test_a_promotion_names_the_announced_files_the_person_and_the_reason() -> None:
    event = promotion(TWO_IN_FORCE, 3, ORDER, MODEL)
    assert (event.action, event.model_version) == ("promoted", 3)
    assert (event.model_digest, event.manifest_digest) == (THREE.model_digest, THREE.manifest_digest)
    assert (event.actor, event.reason, event.occurred_at) == ORDER


def test_a_version_that_the_gates_refused_can_be_promoted_by_a_person() -> None:
    refused = history(*TWO_IN_FORCE.events, did(THREE, "refused"))
    assert promotion(refused, 3, ORDER, MODEL).model_version == 3


def test_a_rollback_goes_back_to_the_version_before_and_then_further() -> None:
    three_in_force = history(*TWO_IN_FORCE.events, did(THREE, "promoted"))
    first = rollback(three_in_force, ORDER, MODEL)
    assert (first.action, first.model_version, first.model_digest) == ("rolled_back", 2, TWO.model_digest)
    second = rollback(history(*three_in_force.events, first), ORDER, MODEL)
    assert second.model_version == 1


def test_a_rollback_passes_over_what_was_archived() -> None:
    put_away = archiving(history(*TWO_IN_FORCE.events, did(THREE, "promoted")), 2, ORDER, MODEL)
    assert (put_away.action, put_away.model_version) == ("archived", 2)
    later = history(*TWO_IN_FORCE.events, did(THREE, "promoted"), put_away)
    assert rollback(later, ORDER, MODEL).model_version == 1


def test_a_version_is_tried_as_challenger_and_as_canary_and_withdrawn() -> None:
    shadowed = shadowing(TWO_IN_FORCE, 3, ORDER, MODEL)
    assert (shadowed.action, shadowed.model_version, shadowed.share) == ("shadowed", 3, None)
    assert (shadowed.model_digest, shadowed.manifest_digest) == (THREE.model_digest, THREE.manifest_digest)
    canaried = canarying(history(*TWO_IN_FORCE.events, shadowed), 3, 0.05, ORDER, MODEL)
    assert (canaried.action, canaried.model_version, canaried.share) == ("canaried", 3, 0.05)
    larger = canarying(history(*TWO_IN_FORCE.events, canaried), 3, 0.5, ORDER, MODEL)
    assert larger.share == 0.5
    for trial in (shadowed, canaried):
        withdrawn = withdrawal(history(*TWO_IN_FORCE.events, trial), 3, ORDER, MODEL)
        assert (withdrawn.action, withdrawn.model_version) == ("withdrawn", 3)
        assert (withdrawn.actor, withdrawn.reason, withdrawn.occurred_at) == ORDER


@pytest.mark.parametrize(
    ("code", "ask"),
    [
        ("no_version", lambda: promotion(TWO_IN_FORCE, 9, ORDER, MODEL)),
        ("no_version", lambda: archiving(TWO_IN_FORCE, 9, ORDER, MODEL)),
        ("in_force", lambda: promotion(TWO_IN_FORCE, 2, ORDER, MODEL)),
        ("in_force", lambda: archiving(TWO_IN_FORCE, 2, ORDER, MODEL)),
        ("archived", lambda: promotion(history(*TWO_IN_FORCE.events, did(THREE, "archived")), 3, ORDER, MODEL)),
        ("archived", lambda: archiving(history(*TWO_IN_FORCE.events, did(THREE, "archived")), 3, ORDER, MODEL)),
        ("other_features", lambda: promotion(history(version(1, "0" * 64)), 1, ORDER, MODEL)),
        ("other_features", lambda: rollback(rolled_back_to_old_features(), ORDER, MODEL)),
        ("no_previous", lambda: rollback(history(ONE, did(ONE, "promoted")), ORDER, MODEL)),
        ("no_previous", lambda: rollback(history(), ORDER, MODEL)),
        ("bad_order", lambda: promotion(TWO_IN_FORCE, 3, ORDER._replace(actor="training"), MODEL)),
        ("bad_order", lambda: promotion(TWO_IN_FORCE, 3, ORDER._replace(actor=""), MODEL)),
        ("bad_order", lambda: archiving(TWO_IN_FORCE, 3, ORDER._replace(reason="x" * 5_000), MODEL)),
        ("no_version", lambda: shadowing(TWO_IN_FORCE, 9, ORDER, MODEL)),
        ("in_force", lambda: shadowing(TWO_IN_FORCE, 2, ORDER, MODEL)),
        ("in_force", lambda: canarying(TWO_IN_FORCE, 2, 0.5, ORDER, MODEL)),
        ("archived", lambda: shadowing(history(*TWO_IN_FORCE.events, did(THREE, "archived")), 3, ORDER, MODEL)),
        ("challenger", lambda: shadowing(history(*TWO_IN_FORCE.events, did(THREE, "shadowed")), 3, ORDER, MODEL)),
        ("other_features", lambda: shadowing(history(version(1, "0" * 64)), 1, ORDER, MODEL)),
        ("no_champion", lambda: canarying(history(ONE), 1, 0.5, ORDER, MODEL)),
        ("bad_order", lambda: canarying(TWO_IN_FORCE, 3, 0.0, ORDER, MODEL)),
        ("bad_order", lambda: canarying(TWO_IN_FORCE, 3, 1.0, ORDER, MODEL)),
        ("not_on_trial", lambda: withdrawal(TWO_IN_FORCE, 3, ORDER, MODEL)),
        ("not_on_trial", lambda: withdrawal(TWO_IN_FORCE, 2, ORDER, MODEL)),
    ],
)
def test_what_must_not_be_is_refused(code: str, ask: Callable[[], ModelEvent]) -> None:
    with pytest.raises(RefusedError) as refused:
        ask()
    assert refused.value.code == code


def rolled_back_to_old_features() -> History:
    old = version(1, "0" * 64)
    return history(old, did(old, "promoted"), TWO, did(TWO, "promoted"))


def test_versions_of_other_models_are_not_meant() -> None:
    with pytest.raises(RefusedError, match="there is none yet"):
        promotion(history(replace(ONE, model_name="recommendation")), 1, ORDER, MODEL)


def test_each_model_has_its_own_versions_and_its_own_champion() -> None:
    recommender = Model("recommendation", "c" * 64)
    theirs = [replace(each, model_name=recommender.name, feature_version="c" * 64) for each in (ONE, TWO)]
    told = history(*TWO_IN_FORCE.events, theirs[0], did(theirs[0], "promoted"), theirs[1], did(theirs[1], "promoted"))
    back = rollback(told, ORDER, recommender)
    assert (back.model_name, back.model_version) == ("recommendation", 1)
    with pytest.raises(RefusedError, match="no version 3 of recommendation"):
        promotion(told, 3, ORDER, recommender)
    assert canarying(told, 1, 0.1, ORDER, recommender).model_name == "recommendation"
