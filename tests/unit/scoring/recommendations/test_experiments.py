"""Arms of an experiment: even, sticky, and independent of other experiments'."""

from collections import Counter

import pytest

from services.scoring.recommendations.asked import Changes
from services.scoring.recommendations.experiments import CONTROL, Arm, Experiment, arm_of

SHOPPERS = [f"user-{at}" for at in range(20_000)]


def experiment(name: str, **shares: float) -> Experiment:
    return Experiment(name=name, arms=[Arm(name=arm, share=share, changes=Changes()) for arm, share in shares.items()])


def test_each_arm_gets_its_share() -> None:
    counts = Counter(arm_of(experiment("discovery", more=0.2, most=0.05), shopper) for shopper in SHOPPERS)
    for arm, share in (("more", 0.2), ("most", 0.05), (CONTROL, 0.75)):
        # Four standard deviations of a binomial count.
        allowed = 4 * (20_000 * share * (1 - share)) ** 0.5
        assert counts[arm] == pytest.approx(20_000 * share, abs=allowed)
    assert {arm_of(experiment("all", one=1.0), shopper) for shopper in SHOPPERS} == {"one"}


def test_a_shopper_stays_in_an_arm_whose_share_grows() -> None:
    before, after = experiment("e", more=0.1), experiment("e", more=0.3)
    stayed = [arm_of(after, shopper) for shopper in SHOPPERS if arm_of(before, shopper) == "more"]
    assert set(stayed) == {"more"}


def test_the_arms_of_two_experiments_have_nothing_to_do_with_each_other() -> None:
    one, other = experiment("one", more=0.5), experiment("other", more=0.5)
    both = Counter((arm_of(one, shopper), arm_of(other, shopper)) for shopper in SHOPPERS)
    assert len(both) == 4
    for count in both.values():
        assert count == pytest.approx(5_000, abs=250)
