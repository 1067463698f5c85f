"""Which cards a canary decides about: the share that was asked for, drawn by card, and by nothing else."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from msgspec.structs import replace

from services.scoring.model import ScoringModel
from services.scoring.policy.policy import BEFORE_THE_FIRST
from services.scoring.roles import Canary, Roles
from services.scoring.scorer import Scorer
from shared.models.packages import Packages
from tests.unit.scoring.scoring_scene import register
from tests.unit.scoring.test_decisions import vector

CARDS = [f"card-{number}" for number in range(20_000)]
DEVIATIONS = 4.5
"""By chance a share is further off than these standard deviations in one of 150,000 draws; the cards are fixed."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[ScoringModel]:
    packages = Packages(tmp_path_factory.mktemp("models"))
    manifests = [register(packages, version) for version in (1, 2, 3)]
    return [ScoringModel(*packages.load("fraud", m.model_version, digest=m.model_digest)) for m in manifests]


def canary_cards(roles: Roles[ScoringModel], cards: Iterable[str] = CARDS) -> set[str]:
    return {card for card in cards if roles.model_for(card)[1] == "canary"}


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.95])
def test_a_canary_gets_its_share_of_the_cards(models: list[ScoringModel], share: float) -> None:
    for canary in models[1:]:
        taken = canary_cards(Roles(models[0], Canary(canary, share)))
        deviation = (share * (1 - share) / len(CARDS)) ** 0.5
        assert abs(len(taken) / len(CARDS) - share) < DEVIATIONS * deviation


def test_a_card_stays_with_its_model_and_more_join_when_the_share_grows(models: list[ScoringModel]) -> None:
    taken = [canary_cards(Roles(models[0], Canary(models[1], share))) for share in (0.05, 0.1, 0.4)]
    assert all(smaller < larger for smaller, larger in pairwise(taken))
    promoted = canary_cards(Roles(models[2], Canary(models[1], 0.05)))
    assert promoted == taken[0]


def test_two_versions_draw_their_cards_independently(models: list[ScoringModel]) -> None:
    one, other = (canary_cards(Roles(models[0], Canary(model, 0.5))) for model in models[1:])
    assert abs(len(one & other) / len(CARDS) - 0.25) < DEVIATIONS * (0.25 * 0.75 / len(CARDS)) ** 0.5


def test_the_model_that_decides_is_named_with_its_role(models: list[ScoringModel]) -> None:
    roles = Roles(models[0], Canary(models[1], 0.5), (models[2],))
    assert {roles.model_for(card) for card in CARDS[:100]} == {(models[0], "champion"), (models[1], "canary")}
    assert Roles().model_for("card-1") == (None, "champion")


def test_a_decision_says_which_version_made_it_and_in_which_role(models: list[ScoringModel]) -> None:
    roles = Roles(models[0], Canary(models[1], 0.3))
    vectors = [vector(100) for _ in CARDS[:200]]
    vectors = [replace(v, transaction=replace(v.transaction, card_id=c)) for v, c in zip(vectors, CARDS, strict=False)]
    scorer = Scorer(lambda: roles, lambda: BEFORE_THE_FIRST, fallback="review")
    decisions = scorer.decided(vectors, [[]] * len(vectors), path="stream")
    of_canary = canary_cards(roles, CARDS[:200])
    assert {d.card_id for d in decisions if (d.model_version, d.model_role) == (2, "canary")} == of_canary
    assert {d.card_id for d in decisions if (d.model_version, d.model_role) == (1, "champion")} == (
        set(CARDS[:200]) - of_canary
    )
