"""Policies for recommendations: what they say to whom, how mistakes are told, and that they keep to their own kind."""

from collections import Counter
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI

from services.scoring.policy.document import PolicyError
from services.scoring.policy.in_force import PolicyInForce
from services.scoring.policy.kinds import PAYMENTS, Kind
from services.scoring.policy.publishing import Author, History, audited, going_back, publication, version_of
from services.scoring.recommendations.asked import Boost, Condition
from services.scoring.recommendations.policy.policy import RECOMMENDATIONS, recommendation_policy_of
from shared.bus.chained_log import ChainedLog
from shared.bus.memory import MemoryBus
from shared.contracts.events import PolicyEvent
from shared.contracts.topics import POLICIES, TOPICS
from shared.runtime import metrics
from shared.runtime.service import Service
from tests.events import START
from tests.unit.scoring.scoring_scene import running, wait_until

ADA = Author("ada", "a test", START)
POLICY = """
merchandising:
  per_category_max: 3
  boosts:
    - when: {attribute: brand, any_of: [acme]}
      factor: 1.5
experiment:
  name: wider
  arms:
    - name: diverse
      share: 0.5
      changes: {diversity: 0.4, per_category_max: null}
"""


def terms_of(text: str, shopper: str = "ada") -> Any:
    return recommendation_policy_of(text, version=1).terms(shopper)


def test_before_the_first_policy_lists_are_as_the_model_ranks_them() -> None:
    terms = RECOMMENDATIONS.before_the_first.terms("ada")
    assert (RECOMMENDATIONS.before_the_first.version, terms.experiment, terms.arm) == (0, None, None)
    rules = terms.merchandising
    assert (rules.boosts, rules.per_category_max, rules.diversity, rules.exploration) == ([], None, 0.0, 0.0)
    assert terms_of("{}") == terms


def test_an_arm_changes_what_it_names_and_the_control_nothing() -> None:
    policy = recommendation_policy_of(POLICY, version=3)
    met = {terms.arm: terms for terms in (policy.terms(f"user-{at}") for at in range(50))}
    boost = Boost(when=Condition(attribute="brand", any_of=["acme"]), factor=1.5)
    assert met.keys() == {"control", "diverse"}
    for arm, cap, diversity in (("control", 3, 0.0), ("diverse", None, 0.4)):
        rules = met[arm].merchandising
        assert (met[arm].experiment, rules.per_category_max, rules.diversity) == ("wider", cap, diversity)
        assert rules.boosts == [boost]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("merchandizing: {}\n", ["line 1", "`merchandizing`", "did you mean `merchandising`?"]),
        ("merchandising:\n  diversty: 0.2\n", ["line 2, merchandising", "did you mean `diversity`?"]),
        ("merchandising:\n  diversity: 1.5\n", ["line 2, merchandising.diversity", "<= 1"]),
        ("merchandising:\n  per_category_max: 0\n", ["line 2, merchandising.per_category_max", ">= 1"]),
        (
            "merchandising:\n  filters:\n  - {attribute: price, at_least: 9, at_most: 5}\n",
            ["line 3, merchandising.filters[0]", "`at_least` 9.0 and `at_most` 5.0 leave nothing"],
        ),
        (
            "merchandising:\n  filters:\n  - {attribute: price, at_least: .nan}\n",
            ["line 3, merchandising.filters[0]", "`at_least` nan"],
        ),
        ("merchandising:\n  diversity: .nan\n", ["line 2, merchandising.diversity", ">= 0"]),
        (
            "merchandising:\n  boosts:\n  - when: {attribute: brand, any_of: [true]}\n    factor: 2\n",
            ["line 3, merchandising.boosts[0].when.any_of[0]", "bool"],
        ),
        (
            "merchandising:\n  filters:\n  - {attribute: brand, factor: 2}\n",
            ["line 3, merchandising.filters[0]", "there is no field `factor` here; there are attribute, any_of"],
        ),
        ("rules: []\n", ["line 1", "there is no field `rules` here; there are merchandising, experiment"]),
        ("experiment: {name: Wider, arms: []}\n", ["line 1, experiment", "mall letters"]),
        ("experiment: {name: wider, arms: []}\n", ["line 1, experiment.arms", ">= 1"]),
        (
            POLICY.replace("name: diverse", "name: control"),
            ["line 10, experiment.arms[0].name", "`control`", "another name"],
        ),
        (
            POLICY + "    - {name: diverse, share: 0.1, changes: {}}\n",
            ["line 13, experiment.arms[1].name", "diverse is taken by arms[0]"],
        ),
        (
            POLICY + "    - {name: more, share: 0.6, changes: {}}\n",
            ["line 10, experiment.arms", "add up to 1.1"],
        ),
        (POLICY.replace("0.4,", "0.4, exploration_place: 1,"), ["line 12", "there is no field `exploration_place`"]),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_do(text: str, told: list[str]) -> None:
    with pytest.raises(PolicyError) as refused:
        terms_of(text)
    assert [part for part in told if part not in str(refused.value)] == [], str(refused.value)


@pytest.fixture
def bus() -> MemoryBus:
    made = MemoryBus(partitions=1)
    made.create_topics(TOPICS)
    return made


def publish(bus: MemoryBus, kind: Kind[Any], *texts: str) -> None:
    def event(text: str, history: History) -> list[PolicyEvent]:
        return [publication(history, text, ADA, kind)]

    for text in texts:
        ChainedLog(bus, POLICIES, PolicyEvent).append(partial(event, text))


def test_each_kind_counts_its_own_versions_on_the_one_chain(bus: MemoryBus) -> None:
    log = ChainedLog(bus, POLICIES, PolicyEvent)
    publish(bus, PAYMENTS, "reasons_max: 1")
    publish(bus, RECOMMENDATIONS, "{}", "merchandising: {diversity: 0.1}")
    publish(bus, PAYMENTS, "reasons_max: 2")
    log.append(lambda history: [going_back(history, ADA, RECOMMENDATIONS)])
    events = log.chain().events
    assert [(event.policy_name, event.policy_version) for event in events] == [
        ("payments", 1),
        ("recommendation", 1),
        ("recommendation", 2),
        ("payments", 2),
        ("recommendation", 3),
    ]
    assert version_of(log.chain(), None, RECOMMENDATIONS).document == "{}"
    assert version_of(log.chain(), None, PAYMENTS).document == "reasons_max: 2"
    values = [record.value for record in log.records()]
    assert audited(values).problems == ()
    # The first recommendation's record is gone: its kind's versions and the chain tell, the other kind's do not.
    problems = audited([values[0], *values[2:]]).problems
    assert Counter(kind for problem in problems for kind in ("payments", "recommendation") if kind in problem) == {
        "recommendation": 2
    }
    assert any("record 1" in problem for problem in problems)


def test_a_policy_of_one_kind_leaves_the_other_in_force(bus: MemoryBus) -> None:
    payments, recommendations = PolicyInForce(bus, PAYMENTS), PolicyInForce(bus, RECOMMENDATIONS)
    publish(bus, PAYMENTS, "reasons_max: 1")
    publish(bus, RECOMMENDATIONS, POLICY)
    workers = (payments, recommendations)
    with running(Service(name="test", app=FastAPI(), workers=workers)):
        wait_until(lambda: not any(worker.problem() for worker in workers), "both are read")
        assert (payments.current().version, recommendations.current().version) == (1, 1)
        assert payments.current().document.reasons_max == 1
        publish(bus, RECOMMENDATIONS, "merchandising: {diversity: 0.2}")
        wait_until(lambda: recommendations.current().version == 2, "version 2")
        assert recommendations.current().terms("ada").merchandising.diversity == 0.2
        assert payments.current().document.reasons_max == 1
    for kind, version in (("payments", 1), ("recommendation", 2)):
        assert metrics.REGISTRY.get_sample_value("headrace_policy_version", {"policy": kind}) == version
        assert metrics.REGISTRY.get_sample_value("headrace_policy_failures_total", {"policy": kind}) is not None
