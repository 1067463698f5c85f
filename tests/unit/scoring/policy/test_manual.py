"""The example in docs/policy.md is a policy, and does what the page says."""

import re
from pathlib import Path

import pytest

from services.scoring.policy import document, variables
from shared.contracts.events import FeatureVector
from shared.features.catalog.fraud import FRAUD
from tests.unit.scoring.policy.policy_scene import codes, judged, vector

PAGE = (Path(__file__).parents[4] / "docs" / "policy.md").read_text()
EXAMPLE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]

TESTING = vector({"card_count_10m": 6.0, "card_count_below_500_1d": 5.0}, amount=100)
FAR_ABOVE = vector({"card_mean_amount_30d": 20_000.0}, amount=100_001)
OWN_SHOP = vector(merchant_id="shop-test", attributes={"test": "yes"})


@pytest.mark.parametrize(
    ("of", "score", "verdict", "reasons"),
    [
        (vector(), 0.39, "approve", []),
        (vector(), 0.4, "review", ["score_review"]),
        (vector(), 0.85, "decline", ["score_decline"]),
        (TESTING, 0.1, "decline", ["rule:card_testing"]),
        (FAR_ABOVE, 0.5, "review", ["rule:far_above_usual", "score_review"]),
        (OWN_SHOP, 0.99, "approve", ["rule:own_test_shop", "score_decline"]),
    ],
)
def test_the_example_does_what_it_says(of: FeatureVector, score: float, verdict: str, reasons: list[str]) -> None:
    judgement = judged(EXAMPLE, of, score=score)
    assert (judgement.verdict, codes(judgement)) == (verdict, reasons)


def test_its_reasons_are_filled_in() -> None:
    assert judged(EXAMPLE, TESTING).reasons[0].text == "6 payments of this card in 10 minutes, most of them small"
    assert judged(EXAMPLE, FAR_ABOVE).reasons[0].text == "100001 is far above what this card usually pays, 20000"


def test_every_name_every_field_and_every_limit_is_on_the_page() -> None:
    names = variables.kinds(FRAUD).keys() - set(FRAUD.feature_names)
    fields = document.PolicyDocument.__struct_fields__ + document.Rule.__struct_fields__
    aims = document.ThresholdChoice.__struct_fields__[2:] + document.CostMatrix.__struct_fields__
    assert [name for name in (*names, *fields, *aims) if f"`{name}`" not in PAGE] == []
    assert f"At most {document.RULES_MAX}:" in PAGE
    assert f"at most {document.EXPRESSION_CHARACTERS_MAX:,} characters" in PAGE
