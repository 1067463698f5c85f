"""Rules against payments: what they may look at, and what happens where they cannot be evaluated."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from msgspec.structs import replace

from shared.runtime import metrics
from tests.unit.scoring.policy.policy_scene import THRESHOLDS, codes, judged, policy, rule, vector, with_rules

PAYMENT = vector(
    {"card_count_10m": 7.0, "card_mean_amount_30d": 250.5, "channel": 1.0, "card_seconds_since_last_30d": 3.0},
    amount=1_999,
    channel="atm",
    country="FR",
    mcc="5411",
    device_id="d-1",
    attributes={"attempts": 3.0, "basket": "gift cards"},
    after=timedelta(days=5, hours=11),  # a Saturday, 23:00 UTC
)

DIGITS = "[1, 2, 3, 4, 5, 6, 7, 8, 9]"


def matches(expression: str, *, score: float | None = 0.3) -> bool:
    text = "rules:\n- code: r\n  action: review\n  reason: r\n  when: |\n    " + expression
    return codes(judged(text, PAYMENT, score=score))[:1] == ["rule:r"]


def errors(code: str) -> float:
    return metrics.REGISTRY.get_sample_value("headrace_rule_errors_total", {"rule": code}) or 0.0


@pytest.mark.parametrize(
    "expression",
    [
        "card_count_10m > 5",
        "5 < card_count_10m",
        "card_count_10m == 7 && card_count_10m != 8",
        "card_count_10m in [6, 7.0]",
        "card_mean_amount_30d >= 250.5",
        "amount > 5.0 * card_mean_amount_30d",
        "amount == 1999 && int(amount) % 10 == 9",
        'channel == "atm" && country in ["FR", "DE"] && mcc.startsWith("54")',
        'card_id == "card-1" && merchant_id.matches("^merchant-[0-9]$") && device_id == "d-1" && user_id == ""',
        "hour == 23 && hour in [22, 23] && weekday >= 6",
        "attributes.attempts >= 3 && attributes.basket.contains('gift')",
        "!has(attributes.coupon) && !('coupon' in attributes)",
        "has_score && score > 0.25",
        "card_count_10m > 5 ? amount > 0 : false",
        "attributes.exists(name, name == 'basket')",
        "amount > 0 // who would not",
        "amount / 0.0 > 1",
    ],
)
def test_an_expression_that_is_true_of_the_payment(expression: str) -> None:
    assert matches(expression)


@pytest.mark.parametrize("expression", ["card_count_10m > 7", "channel == 'ecommerce'", "false", "!has_score"])
def test_an_expression_that_is_not(expression: str) -> None:
    assert not matches(expression)


def test_without_a_score_the_score_is_0_and_says_so() -> None:
    assert matches("!has_score && score == 0.0", score=None)


@pytest.mark.parametrize(
    "expression",
    [
        "int(amount) / (int(amount) - 1999) > 1",
        "attributes.coupon == 'x'",
        "attributes.basket > 5",
        "channel.matches('(')",
        f"{DIGITS}.all(a, {DIGITS}.all(b, {DIGITS}.all(c, {DIGITS}.all(d, {DIGITS}.all(e, true)))))",
    ],
)
def test_a_rule_that_cannot_be_evaluated_does_not_match_is_counted_and_told_once(
    expression: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = with_rules(
        f'- {{code: broken, action: decline, reason: r, when: "{expression}"}}\n', rule("fine", "true", "review")
    )
    tried, before = policy(text), errors("broken")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            judgement = tried.judge(PAYMENT, 0.1, THRESHOLDS, (), fallback="review")
            assert (judgement.verdict, codes(judgement)) == ("review", ["rule:fine"])
    assert errors("broken") == before + 3
    assert tried.rule_failures == {"broken": 3}
    assert [record.message for record in caplog.records if "broken" in record.message] == [caplog.records[0].message]


@pytest.mark.parametrize("missing", [{"values": []}, {"feature_version": "0" * 64}])
def test_where_features_are_missing_rules_that_need_none_still_apply(missing: dict[str, object]) -> None:
    text = with_rules(
        rule("large", "amount > 1000 || card_count_10m > 100", "review", "{amount}, {card_count_10m}"),
        rule("busy", "card_count_10m > 5", "decline"),
    )
    judgement = judged(text, replace(PAYMENT, **missing), score=None)
    assert [(reason.code, reason.text) for reason in judgement.reasons] == [("rule:large", "1999, unknown")]


def test_many_rules_each_match_on_their_own_in_their_order() -> None:
    """A hundred rules are asked in groups; that must not show."""
    bounds = [(at * 37) % 100 for at in range(100)]
    text = with_rules(*(rule(f"r{at}", f"card_count_10m > {bound}", "review") for at, bound in enumerate(bounds)))
    tried = policy(text)
    for count in (0.0, 50.0, 99.0, 1000.0):
        found = tried.judge(vector({"card_count_10m": count}), 0.1, THRESHOLDS, (), fallback="review")
        assert codes(found) == [f"rule:r{at}" for at, bound in enumerate(bounds) if count > bound]


def test_rules_nested_as_deep_as_can_be_do_not_disturb_each_other() -> None:
    deep = "(" * 14 + "card_count_10m > 5" + ")" * 14
    longest = "amount" + " + amount" * 30 + " > 0.0"
    rules = [rule(f"r{at}", deep if at % 2 else longest, "review") for at in range(30)]
    assert codes(judged(with_rules(*rules), PAYMENT)) == [f"rule:r{at}" for at in range(30)]


def test_rules_are_judged_alike_from_several_threads() -> None:
    tried = policy(with_rules(*(rule(f"r{at}", f"card_count_10m > {at}", "review") for at in range(10))))
    vectors = [vector({"card_count_10m": float(at % 12)}) for at in range(400)]

    def judge(part: Iterable[int]) -> list[int]:
        return [len(tried.judge(vectors[at], 0.1, THRESHOLDS, (), fallback="review").reasons) for at in part]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(judge, [range(400)] * 4))
    assert found == [[min(at % 12, 10) for at in range(400)]] * 4
