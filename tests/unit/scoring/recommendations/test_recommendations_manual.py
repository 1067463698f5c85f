"""The example in docs/recommendations.md is a policy, and does what the page says."""

import re
from collections import Counter
from pathlib import Path

from services.scoring.policy.publishing import Author, publication
from services.scoring.recommendations import arranging, asked
from services.scoring.recommendations.arranging import Candidate, arranged
from services.scoring.recommendations.conditions import meets
from services.scoring.recommendations.policy.policy import RECOMMENDATIONS, RecommendationPolicy
from services.scoring.recommendations.tracing import ENTRIES_MAX
from shared.bus.chained_log import Chain
from shared.contracts.shopping import Item
from tests.events import START
from tests.unit.scoring.recommendations.catalogue_scene import item

PAGE = (Path(__file__).parents[4] / "docs" / "recommendations.md").read_text()
EXAMPLE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]


def policy() -> RecommendationPolicy:
    event = publication(Chain(), EXAMPLE, Author("ada", "the page", START), RECOMMENDATIONS)
    return RECOMMENDATIONS.policy_of(event.document, version=event.policy_version)


def test_the_arms_of_the_example_get_their_shares_and_changes() -> None:
    in_force = policy()
    terms = [in_force.terms(f"user-{at}") for at in range(2_000)]
    shares = Counter(each.arm for each in terms)
    assert {arm: round(count / 2_000, 1) for arm, count in shares.items()} == {
        "control": 0.6,
        "diverse": 0.2,
        "uncapped": 0.2,
    }
    assert {(t.arm, t.merchandising.diversity, t.merchandising.per_category_max) for t in terms} == {
        ("control", 0.2, 3),
        ("diverse", 0.5, 3),
        ("uncapped", 0.2, None),
    }


def test_its_filters_boosts_and_limits_do_what_the_page_says() -> None:
    rules = next(t.merchandising for t in map(policy().terms, map(str, range(50))) if t.arm == "control")
    shop: dict[str, Item] = {
        f"shoe-{at}": item(f"shoe-{at}", categories=["shoes"], attributes={"margin": 0.1, "size": str(at)})
        for at in range(5)
    }
    shop["bag"] = item("bag", categories=["bags"], attributes={"margin": 0.2, "brand": "acme"})
    shop["old"] = item("old", categories=["hats"], attributes={"margin": 0.05, "clearance": "yes"})
    shop["toy"] = item("toy", categories=["toys", "adult"], attributes={"margin": 0.3})
    shop["loss"] = item("loss", categories=["hats"], attributes={"margin": 0.01})
    allowed = [item_id for item_id in shop if all(meets(rule, shop[item_id], item_id) for rule in rules.filters)]
    assert set(shop) - set(allowed) == {"toy", "loss"}
    candidates = [Candidate(item_id, 10.0 - at) for at, item_id in enumerate(allowed)]
    found = arranged([*candidates, Candidate("lowest", 0.0)], shop.get, rules, 7, trace=True)
    # The bag moves up from behind five shoes, of which only three may stand here.
    assert [placed.item_id for placed in found.placed] == ["shoe-0", "shoe-1", "bag", "shoe-2", "old", "lowest"]
    assert [stage.name for stage in found.stages] == ["boosts", "categories", "diversity"]


def test_every_field_every_stage_and_every_limit_is_on_the_page() -> None:
    fields = asked.Merchandising.__struct_fields__ + asked.Condition.__struct_fields__ + asked.Boost.__struct_fields__
    assert [name for name in fields if f"`{name}`" not in PAGE] == []
    assert f"a pool of at most {arranging.POOL_MAX}" in PAGE
    assert f"it names {ENTRIES_MAX};" in PAGE
