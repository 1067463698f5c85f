"""What a policy says of a payment: the order in which it judges, and what it gives as reasons."""

import itertools

import pytest

from services.scoring.policy.policy import BEFORE_THE_FIRST, policy_of
from shared.contracts.events import Reason, Verdict
from shared.models.manifest import Thresholds
from tests.unit.scoring.policy.policy_scene import THRESHOLDS, codes, judged, policy, rule, vector, with_rules

APPROVES = rule("good", "amount > 0", "approve")
REVIEWS = rule("odd", "amount > 0", "review")
DECLINES = rule("bad", "amount > 0", "decline")
NEVER = rule("never", "amount < 0", "decline")


@pytest.mark.parametrize(
    ("rules", "listed", "score", "verdict"),
    [
        ([], [], 0.1, "approve"),
        ([], [], 0.5, "review"),
        ([], [], 0.9, "decline"),
        ([REVIEWS], [], 0.1, "review"),
        ([REVIEWS], [], 0.95, "decline"),
        ([DECLINES, REVIEWS], [], 0.1, "decline"),
        ([NEVER], [], 0.1, "approve"),
        ([APPROVES, DECLINES], [], 0.95, "approve"),
        ([], ["block:card"], 0.1, "decline"),
        ([REVIEWS], ["block:device"], 0.1, "decline"),
        ([APPROVES], ["block:card"], 0.1, "approve"),
        ([DECLINES], ["allow:merchant"], 0.95, "approve"),
        ([], ["block:card", "allow:user"], 0.1, "approve"),
        ([], [], None, "review"),
        ([REVIEWS], [], None, "review"),
        ([DECLINES], [], None, "decline"),
        ([APPROVES], [], None, "approve"),
    ],
)
def test_the_order_of_judgement(rules: list[str], listed: list[str], score: float | None, verdict: Verdict) -> None:
    text = with_rules(*rules) if rules else "{}"
    of = vector(device_id="device-1", user_id="user-1")
    assert judged(text, of, score=score, listed=tuple(listed)).verdict == verdict


def test_reasons_name_every_entry_every_rule_and_the_score_whatever_decided() -> None:
    found = judged(with_rules(APPROVES, NEVER, DECLINES), vector(), score=0.95, listed=("block:card",))
    assert found.verdict == "approve"
    assert codes(found) == ["list:block:card", "rule:good", "rule:bad", "score_decline"]
    assert found.reasons[0].text == "card card-1 is on the block list"
    assert "decline threshold 0.9" in found.reasons[-1].text


def test_a_reason_is_filled_in_from_the_payment_its_features_and_its_score() -> None:
    text = with_rules(
        rule("many", "card_count_10m > 5", "review", "{card_count_10m} at {merchant_id}, {amount}, {{{score}}}")
    )
    found = judged(text, vector({"card_count_10m": 7.0}, merchant_id="shop {x}"), score=0.25)
    assert found.reasons == [Reason(code="rule:many", text="7 at shop {x}, 1999, {0.25}")]


def test_lists_that_the_policy_leaves_out_do_not_count() -> None:
    found = judged("lists: [block]", listed=("allow:card", "block:merchant"))
    assert found.verdict == "decline"
    assert codes(found) == ["list:block:merchant"]


def test_the_documents_thresholds_go_before_those_of_the_model() -> None:
    text = "thresholds: {review: 0.05, decline: 0.2}"
    assert judged(text, score=0.1).verdict == "review"
    assert judged(text, score=0.3).verdict == "decline"


def test_the_digest_changes_with_all_that_decides_and_with_nothing_else() -> None:
    texts = [
        "{}",
        "thresholds: {review: 0.5, decline: 0.9}",
        "thresholds: {review: 0.5, decline: 0.8}",
        with_rules(REVIEWS),
        with_rules(DECLINES),
        with_rules(rule("odd", "amount > 1", "review")),
        with_rules(rule("odd", "amount > 0", "review", "another reason")),
        "lists: [block]",
        "explain: []",
        "reasons_max: 4",
    ]
    policies = [BEFORE_THE_FIRST, *map(policy, texts[1:])]
    thresholds = [None, THRESHOLDS, Thresholds(review=0.5, decline=0.95)]
    fallbacks: list[Verdict] = ["approve", "review"]
    digests = [each.digest(*beside) for each in policies for beside in itertools.product(thresholds, fallbacks)]
    assert len(set(digests)) == len(policies) * len(thresholds) * len(fallbacks)
    same = policy_of("# a comment\nrules: []\n", version=9)
    assert same.digest(THRESHOLDS, "review") == policy("{}").digest(THRESHOLDS, "review")
