"""The policy in force: the newest that can be used, taken up while it runs, found again after a restart."""

from collections.abc import Sequence

import pytest
from fastapi import FastAPI
from msgspec.structs import replace

from services.scoring.policy.in_force import PolicyInForce
from services.scoring.policy.kinds import PAYMENTS
from services.scoring.policy.policy import Policy
from services.scoring.policy.publishing import Author, going_back, publication, text_digest
from shared.bus.base import Outgoing
from shared.bus.chained_log import ChainedLog
from shared.bus.memory import MemoryBus
from shared.contracts.events import PolicyEvent
from shared.contracts.topics import POLICIES, TOPICS
from shared.runtime import metrics
from shared.runtime.service import Service
from tests.events import START
from tests.unit.scoring.policy.policy_scene import THRESHOLDS, codes, rule, vector, with_rules
from tests.unit.scoring.scoring_scene import running, wait_until

ADA = Author("ada", "a test", START)
REVIEWS = with_rules(rule("one", "amount > 0", "review"))
DECLINES = with_rules(rule("two", "amount > 0", "decline"))


@pytest.fixture
def bus() -> MemoryBus:
    made = MemoryBus(partitions=1)
    made.create_topics(TOPICS)
    return made


def publish(bus: MemoryBus, text: str, *, unchecked: bool = False) -> None:
    """Publish a policy; `unchecked`, it takes the place of what was valid when it was published."""

    def as_told(event: PolicyEvent) -> PolicyEvent:
        return replace(event, document=text, policy_digest=text_digest(text)) if unchecked else event

    log = ChainedLog(bus, POLICIES, PolicyEvent)
    if unchecked:
        log.append(lambda history: [as_told(publication(history, f"# {len(history.events)}\n{{}}", ADA, PAYMENTS))])
    else:
        log.append(lambda history: [publication(history, text, ADA, PAYMENTS)])


def service(policy: PolicyInForce[Policy]) -> Service:
    return Service(name="test", app=FastAPI(), workers=(policy,))


def verdict(policy: PolicyInForce[Policy]) -> tuple[int, str, Sequence[str]]:
    current = policy.current()
    judgement = current.judge(vector(), 0.1, THRESHOLDS, (), fallback="review")
    return current.version, judgement.verdict, codes(judgement)


def failures() -> float:
    return metrics.REGISTRY.get_sample_value("headrace_policy_failures_total", {"policy": "payments"}) or 0.0


def test_it_is_ready_once_it_knows_that_there_is_none(bus: MemoryBus) -> None:
    policy = PolicyInForce(bus, PAYMENTS)
    assert policy.problem() is not None
    with running(service(policy)):
        wait_until(lambda: policy.problem() is None, "ready")
    assert verdict(policy) == (0, "approve", [])


def test_a_policy_takes_over_while_running_and_is_found_again_after_a_restart(bus: MemoryBus) -> None:
    policy = PolicyInForce(bus, PAYMENTS)
    publish(bus, REVIEWS)
    with running(service(policy)):
        wait_until(lambda: policy.current().version == 1, "version 1")
        before = policy.current()
        assert verdict(policy) == (1, "review", ["rule:one"])
        publish(bus, DECLINES)
        wait_until(lambda: policy.current().version == 2, "version 2")
        assert verdict(policy) == (2, "decline", ["rule:two"])
        ChainedLog(bus, POLICIES, PolicyEvent).append(lambda history: [going_back(history, ADA, PAYMENTS)])
        wait_until(lambda: policy.current().version == 3, "version 3")
        assert verdict(policy) == (3, "review", ["rule:one"])
        assert policy.current().digest(THRESHOLDS, "review") == before.digest(THRESHOLDS, "review")
        assert metrics.REGISTRY.get_sample_value("headrace_policy_version", {"policy": "payments"}) == 3
    restarted = PolicyInForce(bus, PAYMENTS)
    with running(service(restarted)):
        wait_until(lambda: restarted.problem() is None, "ready")
        assert verdict(restarted) == (3, "review", ["rule:one"])


def test_a_policy_that_cannot_be_used_stays_out_and_the_one_before_stays(bus: MemoryBus) -> None:
    gone, before = with_rules(rule("old", "feature_that_was_taken_out > 1", "decline")), failures()
    publish(bus, REVIEWS)
    publish(bus, gone, unchecked=True)
    policy = PolicyInForce(bus, PAYMENTS)
    with running(service(policy)):
        wait_until(lambda: policy.problem() is None, "ready")
        assert verdict(policy) == (1, "review", ["rule:one"])
        assert failures() == before + 1
        publish(bus, gone, unchecked=True)
        wait_until(lambda: failures() == before + 2, "another failure")
        assert verdict(policy) == (1, "review", ["rule:one"])
        publish(bus, DECLINES)
        wait_until(lambda: policy.current().version == 4, "version 4")


def test_rules_that_left_show_no_errors_any_more(bus: MemoryBus) -> None:
    def errors() -> float | None:
        return metrics.REGISTRY.get_sample_value("headrace_rule_errors_total", {"rule": "gone"})

    in_force = PolicyInForce(bus, PAYMENTS)
    publish(bus, with_rules(rule("gone", "attributes.basket > 5", "review")))
    with running(service(in_force)):
        wait_until(lambda: verdict(in_force)[0] == 1, "the first")
        assert (errors() or 0.0) > 0
        publish(bus, REVIEWS)
        wait_until(lambda: verdict(in_force)[0] == 2, "the second")
        wait_until(lambda: errors() is None, "its rule is shown no more")


def test_a_record_that_was_tampered_with_or_cannot_be_read_decides_nothing(bus: MemoryBus) -> None:
    publish(bus, REVIEWS)
    ChainedLog(bus, POLICIES, PolicyEvent).append(
        lambda history: [replace(publication(history, DECLINES, ADA, PAYMENTS), document="{}")]
    )
    bus.publisher().send(Outgoing(POLICIES.name, b"payments", b"noise")).result()
    policy = PolicyInForce(bus, PAYMENTS)
    with running(service(policy)):
        wait_until(lambda: policy.problem() is None, "ready")
        assert verdict(policy) == (1, "review", ["rule:one"])
