"""A declined payment makes its shopper's clicks count less; whoever answered it, and however often it comes by."""

from datetime import timedelta
from pathlib import Path

import pytest

from services.scoring.answers import answer_key, answer_record
from services.scoring.deciding import decision_id_of
from services.scoring.handlers import DISTRUSTED_FOR, ScoringHandler
from services.scoring.model import ScoringModel
from services.scoring.policy.lists import Lists
from services.scoring.policy.policy import BEFORE_THE_FIRST
from services.scoring.recommendations.trust import Trust
from services.scoring.roles import Roles
from services.scoring.scorer import Scorer
from shared.bus.base import Record
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector
from shared.contracts.topics import FEATURES
from shared.features.catalog.fraud import FRAUD
from shared.models.packages import Packages
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.events import FRESH, TRACE_ID, payment
from tests.unit.scoring.scoring_scene import AMOUNT, NOW, register

SMALL, LARGE = 100, 99_000


class Scene:
    def __init__(self, folder: Path) -> None:
        packages = Packages(folder)
        manifest = register(packages, 1)
        model = ScoringModel(*packages.load(manifest.model_name, 1, digest=manifest.model_digest))
        self.clock = ManualClock(NOW)
        self.store = MemoryStore(self.clock)
        lists = Lists()
        scorer = Scorer(lambda: Roles(champion=model), lambda: BEFORE_THE_FIRST, fallback="review")
        self._handler = ScoringHandler(scorer, lambda: lists, self.store, {}, self.clock)

    def decide(self, *vectors: FeatureVector) -> list[Decision]:
        outgoing = self._handler([Delivery(Record(FEATURES.name, 0, n, b"", b"", 0), v) for n, v in enumerate(vectors)])
        return [codec.decode(Decision, record.value) for record in outgoing]

    def trust(self, *user_ids: str) -> dict[str, float]:
        return Trust(self.store).of(user_ids).trust


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def vector(amount: float, user_id: str | None) -> FeatureVector:
    event = payment(f"{user_id}-{amount}", user_id=user_id)
    values = [0.0] * len(FRAUD.features)
    values[AMOUNT] = amount
    return FeatureVector(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        trace_id=TRACE_ID,
        transaction=event,
        feature_set=FRAUD.name,
        feature_version=FRAUD.version,
        values=values,
        freshness=FRESH,
    )


def test_a_declined_shopper_is_trusted_less_and_others_are_not(scene: Scene) -> None:
    declined, *_ = scene.decide(vector(LARGE, "fake"), vector(SMALL, "honest"), vector(LARGE, None))
    assert declined.decision == "decline"
    assert declined.score is not None
    assert scene.trust("fake", "honest") == {"fake": pytest.approx(1 - declined.score, abs=1e-6)}


def test_a_payment_that_comes_by_again_changes_nothing_and_trust_comes_back(scene: Scene) -> None:
    scene.decide(vector(LARGE, "fake"))
    before = scene.trust("fake")
    scene.decide(vector(LARGE, "fake"), vector(LARGE, "fake"))
    assert scene.trust("fake") == before
    scene.clock.advance(DISTRUSTED_FOR + timedelta(seconds=1))
    assert scene.trust("fake") == {}


def test_a_payment_declined_over_rest_counts_when_it_comes_by_on_the_stream(scene: Scene) -> None:
    asked = vector(LARGE, "fake")
    (decision,) = scene.decide(vector(LARGE, None))
    answered = codec.encode(decision)
    key = answer_key(decision_id_of(asked.transaction))
    scene.store.append_and_read([(key, answer_record(answered))], [], expire_after=timedelta(hours=1))
    scene.decide(asked)
    assert set(scene.trust("fake")) == {"fake"}
