"""Whoever pays with fraud is trusted less, near in time, and no longer when the fraud turns out to be none."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.training.recommendation.fitting import Vocabulary, fit
from services.training.recommendation.plan import Plan
from services.training.recommendation.trust import TRUST_MIN
from shared.contracts.events import Decision
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import FEATURES, LABELS, SCORES
from tests.events import START, TRACE_ID, label, payment
from tests.unit.training.recommendation.shopping_scene import DAY, archived, read, touch, visits
from tests.unit.training.training_scene import archive, delivered, vector

PUSHED = "item-1-04"


def decided(transaction_id: str, decision: str, score: float | None) -> Decision:
    return Decision(
        event_id=derived_event_id(START, "scores", transaction_id),
        occurred_at=START,
        trace_id=TRACE_ID,
        transaction_id=transaction_id,
        card_id="card-1",
        decision=decision,  # type: ignore[arg-type]
        score=score,
        reasons=[],
        model_name="fraud",
        model_version=1,
        model_digest="a" * 64,
        feature_version="b" * 64,
        vector_digest="c" * 64,
        policy_digest="d" * 64,
    )


def paid(home: Path, user_id: str, *, decision: str = "decline", score: float | None = 0.8, told: Any = None) -> None:
    """Archive a payment at START of a user, as it was decided and, where `told`, labelled."""
    kept, name = archive(home), f"payment of {user_id}"
    place = 1_000 + len(user_id) * 7
    kept.write(delivered(FEATURES, [vector(name, user_id=user_id)], first_offset=place))
    kept.write(delivered(SCORES, [decided(name, decision, score)], first_offset=place))
    if told:
        known = label(payment(name), told, known_after=3 * DAY)
        kept.write(delivered(LABELS, [known], first_offset=place))


@pytest.mark.parametrize(
    ("payment_of", "trust"),
    [
        ({}, 0.2),
        ({"score": 1.0}, TRUST_MIN),
        ({"decision": "approve"}, 1.0),
        ({"decision": "review"}, 1.0),
        ({"score": None}, 1.0),
        ({"told": "genuine"}, 1.0),
        ({"decision": "approve", "score": 0.01, "told": "fraud"}, TRUST_MIN),
    ],
)
def test_trust_follows_the_decision_and_the_label_goes_before_it(
    tmp_path: Path, payment_of: dict[str, Any], trust: float
) -> None:
    archived(tmp_path, [touch("ada", "shoe"), touch("bob", "shoe")])
    paid(tmp_path, "ada", **payment_of)
    assert read(tmp_path).trust.tolist() == pytest.approx([trust, 1.0])


def test_only_what_is_near_in_time_is_trusted_less(tmp_path: Path) -> None:
    apart = [-20, -7, 0, 7, 20]
    archived(tmp_path, [touch("ada", "shoe", at=START + days * DAY) for days in apart])
    paid(tmp_path, "ada")
    assert read(tmp_path, distrust_days=7).trust.tolist() == pytest.approx([1, 0.2, 0.2, 0.2, 1])


def test_fake_clicks_of_declined_cards_push_an_item_less(tmp_path: Path) -> None:
    """Fakes that make an unpopular item the most popular one hardly move it once their payments are declined."""
    fakes = [
        touch(f"fake-{at}", PUSHED, at=START + timedelta(minutes=at, seconds=more), name=str(more))
        for at in range(20)
        for more in range(3)
    ]
    archived(tmp_path, visits())
    honest = popularity_rank(tmp_path, PUSHED)
    archived(tmp_path, fakes, first_offset=5_000)
    pushed = popularity_rank(tmp_path, PUSHED)
    for at in range(20):
        paid_as(tmp_path, f"fake-{at}", at)
    found_out = popularity_rank(tmp_path, PUSHED)
    assert pushed == 1
    assert honest > 30
    assert found_out > 15


def paid_as(home: Path, user_id: str, number: int) -> None:
    kept, name = archive(home), f"payment {number}"
    kept.write(delivered(FEATURES, [vector(name, user_id=user_id)], first_offset=number))
    kept.write(delivered(SCORES, [decided(name, "decline", 0.97)], first_offset=number))


def popularity_rank(home: Path, item_id: str) -> int:
    data = read(home)
    vocabulary = Vocabulary(data.item_ids, data.traits, data.segments, None, {"view": 1.0})
    popular = fit(data.histories, Plan((), 1.0), vocabulary).popularity[0]
    return 1 + int(np.sum(popular > popular[data.item_ids.index(item_id)]))
