"""From a vector to a decision: thresholds, fallbacks, digests, and the same bytes every time."""

from pathlib import Path

import pytest

from services.scoring.handlers import ScoringHandler
from services.scoring.model import ScoringModel
from services.scoring.policy.lists import Lists
from services.scoring.policy.policy import BEFORE_THE_FIRST
from services.scoring.roles import Roles
from services.scoring.scorer import Scorer
from shared.bus.base import Record
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector
from shared.contracts.topics import FEATURES, SCORES
from shared.features.catalog.fraud import FRAUD
from shared.models.packages import Packages
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.events import FRESH, TRACE_ID, payment
from tests.unit.scoring.scoring_scene import AMOUNT, NOW, register


@pytest.fixture
def model(tmp_path: Path) -> ScoringModel:
    packages = Packages(tmp_path)
    manifest = register(packages, 1)
    return ScoringModel(*packages.load(manifest.model_name, 1, digest=manifest.model_digest))


def vector(amount: float, **changes: object) -> FeatureVector:
    event = payment(f"t{amount}")
    values = [0.0] * len(FRAUD.features)
    values[AMOUNT] = amount
    fields: dict[str, object] = {"values": values, "feature_version": FRAUD.version} | changes
    return FeatureVector(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        trace_id=TRACE_ID,
        transaction=event,
        feature_set=FRAUD.name,
        freshness=FRESH,
        **fields,  # type: ignore[arg-type]
    )


def decided(model: ScoringModel | None, *vectors: FeatureVector) -> list[Decision]:
    clock, lists = ManualClock(NOW), Lists()
    scorer = Scorer(lambda: Roles(champion=model), lambda: BEFORE_THE_FIRST, fallback="review")
    handler = ScoringHandler(scorer, lambda: lists, MemoryStore(clock), {}, clock)
    batch = [Delivery(Record(FEATURES.name, 0, at, b"", b"", 0), v) for at, v in enumerate(vectors)]
    outgoing = handler(batch)
    assert {record.topic for record in outgoing} <= {SCORES.name}
    return [codec.decode(Decision, record.value) for record in outgoing]


def test_small_amounts_are_approved_and_large_ones_declined_with_a_reason(model: ScoringModel) -> None:
    small, large = decided(model, vector(100), vector(99_000))
    assert (small.decision, small.reasons) == ("approve", [])
    assert (large.decision, large.model_version) == ("decline", 1)
    assert "decline threshold 0.9" in large.reasons[0].text


def test_a_batch_is_decided_as_its_payments_are_one_by_one(model: ScoringModel) -> None:
    vectors = [vector(amount) for amount in range(0, 100_000, 7_000)]
    assert decided(model, *vectors) == [one for each in vectors for one in decided(model, each)]


def test_deciding_again_gives_the_same_bytes(model: ScoringModel) -> None:
    assert codec.encode(decided(model, vector(99_000))[0]) == codec.encode(decided(model, vector(99_000))[0])


def test_without_a_model_the_fallback_decides_and_says_so() -> None:
    (decision,) = decided(None, vector(99_000))
    assert (decision.decision, decision.score, decision.degraded) == ("review", None, ["model"])
    assert decision.model_version == 0


@pytest.mark.parametrize("changes", [{"feature_version": "f" * 64}, {"values": []}])
def test_a_vector_of_other_features_is_not_scored_and_spoils_no_other(
    model: ScoringModel, changes: dict[str, object]
) -> None:
    strange, usual = decided(model, vector(99_000, **changes), vector(99_000))
    assert (strange.decision, strange.score, strange.degraded) == ("review", None, ["features"])
    assert (usual.decision, usual.degraded) == ("decline", [])


def test_digests_tell_vectors_policies_and_models_apart(model: ScoringModel) -> None:
    one, same, other = decided(model, vector(99_000), vector(99_000), vector(98_000))
    (without,) = decided(None, vector(99_000))
    assert one.vector_digest == same.vector_digest != other.vector_digest
    assert one.policy_digest != without.policy_digest
    assert one.model_digest == model.manifest.model_digest
