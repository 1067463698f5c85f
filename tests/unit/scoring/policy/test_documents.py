"""A policy's text: what it may say, and that every mistake is told with its line and what to do."""

import pytest

from services.scoring.policy.document import EXPRESSION_CHARACTERS_MAX, RULES_MAX, PolicyError
from services.scoring.policy.parsing import CHARACTERS_MAX
from services.scoring.policy.policy import checked, document_of, policy_of
from shared.models.manifest import Thresholds
from tests.unit.scoring.policy.policy_scene import rule, with_rules

COSTS = (
    "{review_minor_units: 1, chargeback_minor_units: 2, declined_genuine_minor_units: 3, declined_genuine_share: 0.5}"
)
RESOLVED = (
    f"resolved: {{review: 0.3, decline: 0.8, costs: {COSTS}, model_version: 2, since: 2026-01-01, until: 2026-01-30, "
    "payments: 100, frauds: 3}\n"
)


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as refused:
        policy_of(text, version=1)
    return str(refused.value)


def when(expression: str) -> str:
    return with_rules(
        rule("first", "true", "review"), f"- code: r\n  when: {expression}\n  action: review\n  reason: r\n"
    )


def test_a_document_that_says_nothing_leaves_everything_as_it_is() -> None:
    document = document_of("{}")
    assert (document.numbers, document.rules, document.lists) == (None, [], ("allow", "block"))
    assert (document.explain, document.reasons_max) == (("review", "decline"), 3)


def test_thresholds_are_numbers_or_an_aim_that_is_resolved_when_it_is_published() -> None:
    assert document_of("thresholds: {review: 0.2, decline: 1}").numbers == Thresholds(review=0.2, decline=1.0)
    for aim in (f"costs: {COSTS}", "reviews_a_day: 40", f"costs: {COSTS}, reviews_a_day: 40"):
        text = f"thresholds: {{{aim}}}\n"
        assert not checked(text).is_resolved
        assert "headrace policy publish" in refusal(text)
        assert policy_of(text + RESOLVED, version=1).document.numbers == Thresholds(review=0.3, decline=0.8)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["line 1", "mapping"]),
        ("- a\n", ["line 1", "mapping"]),
        ("rules:\n- code: [\n", ["line 3", "quotes"]),
        ("rules: []\nexplain: a: b\n", ["line 2", "quotes"]),
        ("rules: []\n---\nrules: []\n", ["line 2"]),
        ("reasons_max: 3\nruls: []\n", ["`ruls`", "did you mean `rules`?"]),
        ("rules: []\nreasons_max: 3\nrules: []\n", ["line 3, rules", "twice"]),
        ("lists: &all [allow, block]\nexplain: *all\n", ["line 2", "*all"]),
        ("[" * 100_000, ["line 1", "deeper"]),
        ("a: " + "x" * CHARACTERS_MAX, ["characters"]),
        ("reasons_max: 65\n", ["line 1, reasons_max", "<= 64"]),
        ("reasons_max: 2026-45-45\n", ["line 1", "quotes"]),
        ("lists: [allow, deny]\n", ["line 1, lists[1]", "'deny'", "allow, block"]),
        ("thresholds: {review: 0.9, decline: 0.5}\n", ["line 1, thresholds", "above"]),
        ("thresholds: {review: 0.9}\n", ["line 1, thresholds", "`decline`"]),
        ("\nthresholds: {}\n", ["line 2, thresholds", "`reviews_a_day`"]),
        ("thresholds: {review: 0.1, decline: 0.2, reviews_a_day: 3}\n", ["line 1, thresholds", "either"]),
        ("thresholds: {review: -1, decline: 0.2}\n", ["line 1, thresholds.review", ">= 0"]),
        ("thresholds: {review: 1e-3, decline: 0.2}\n", ["line 1, thresholds.review", "1.0e-3"]),
        ("thresholds:\n  costs: {review_minor_units: 1}\n", ["line 2, thresholds.costs", "chargeback_minor_units"]),
        ("thresholds: {review: .nan, decline: 0.2}\n", ["line 1, thresholds.review", ">= 0"]),
        ("thresholds:\n  review: 0.1\n  decline: .inf\n", ["line 3, thresholds.decline", "<= 2"]),
        (
            f"thresholds:\n  costs: {COSTS.replace('0.5', '.inf')}\n",
            ["thresholds.costs.declined_genuine_share", "<= "],
        ),
        (with_rules(rule("a", "true", "review").replace("'a test'", '"\\ud800"')), ["surrogates"]),
        (with_rules('- {code: a, action: review, reason: r, when: "true\\0 && amount"}'), ["line 2, rules[0].when"]),
        (RESOLVED, ["line 1, resolved", "take it out"]),
        (with_rules(rule("a", "true", "block")), ["line 4, rules[0].action", "'block'", "approve, decline, review"]),
        (with_rules(rule("Card testing", "true", "review")), ["line 2, rules[0].code", "small letters"]),
        (with_rules("- code: a\n  when: true\n  action: review\n  reason: r\n"), ["line 3, rules[0].when", "quotes"]),
        (with_rules("- code: a\n  when: 'true'\n  action: review\n"), ["line 2, rules[0]", "`reason`"]),
        (with_rules(rule("a", "true", "review"), rule("a", "true", "review")), ["line 6, rules[1].code", "rules[0]"]),
        (with_rules(*(rule(f"r{at}", "true", "review") for at in range(RULES_MAX + 1))), ["line 2, rules", "<= 100"]),
        (when("amount > " + "1" * EXPRESSION_CHARACTERS_MAX), ["line 7, rules[1].when", "<= 1000"]),
        (when("amount >"), ["line 7, rules[1].when", "column 9", "Syntax error"]),
        (when("amount > 1 and hour > 2"), ["line 7", "column 12", "&& for and"]),
        (when("amount"), ["line 7", "double", "not true or false"]),
        (when("attributes.flag"), ["line 7", "not true or false"]),
        (when("chanel == 'atm'"), ["line 7", "column 1", "no chanel", "did you mean channel?"]),
        (when("amount > 1 && card_cont_10m > 5"), ["line 7", "column 15", "did you mean card_count_10m?"]),
        (when("zzzzzz > 1"), ["line 7", "no zzzzzz", "docs/policy.md"]),
        (when("amount > 2 * card_mean_amount_7d"), ["line 7", "column 12", "2.0 instead of 2"]),
        (when("channel == 5"), ["line 7", "`==` does not go with (string, int)"]),
        (when("channel.begins('a')"), ["line 7", "no function begins"]),
        (when("(" * 40 + "true" + ")" * 40), ["line 7", "32 levels"]),
        (when("|\n    amount > 1 &&\n    chanel == 'atm'\n"), ["line 7", "line 2 of it, column 1", "channel"]),
        (with_rules(rule("a", "true", "review", "{")), ["line 5, rules[0].reason", "{{"]),
        (with_rules(rule("a", "true", "review", "{amonut}")), ["line 5, rules[0].reason", "did you mean amount?"]),
        (with_rules(rule("a", "true", "review", "{amount:.2f}")), ["line 5, rules[0].reason", "no format"]),
        (with_rules(rule("a", "true", "review", "{attributes}")), ["line 5, rules[0].reason", "a map"]),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_do(text: str, told: list[str]) -> None:
    message = refusal(text)
    assert [part for part in told if part not in message] == [], message
    assert len(message) < 600


def test_all_mistakes_in_rules_are_told_at_once() -> None:
    text = with_rules(rule("a", "chanel == 1", "review", "{"), rule("b", "amount", "review"))
    assert [line.split(":")[0] for line in refusal(text).splitlines()] == [
        "line 3, rules[0].when",
        "line 5, rules[0].reason",
        "line 7, rules[1].when",
    ]
