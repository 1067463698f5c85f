"""Which version is in force, and which one a rollback goes back to."""

import pytest

from shared.models.lineage import Standing, in_force, is_archived, previous, standing
from tests.model_events import Action, model_event

Steps = list[tuple[Action, int]]

# What happened; which version is in force then, and which one a rollback goes back to. 0: none.
LIVES: list[tuple[Steps, int, int]] = [
    ([], 0, 0),
    ([("registered", 1)], 0, 0),
    ([("registered", 1), ("promoted", 1)], 1, 0),
    ([("promoted", 1), ("registered", 2), ("refused", 2)], 1, 0),
    ([("promoted", 1), ("shadowed", 2), ("archived", 2)], 1, 0),
    ([("promoted", 1), ("promoted", 2)], 2, 1),
    ([("promoted", 1), ("promoted", 2), ("promoted", 2)], 2, 1),
    ([("promoted", 1), ("promoted", 2), ("rolled_back", 1)], 1, 0),
    ([("promoted", 1), ("promoted", 2), ("promoted", 3), ("rolled_back", 2)], 2, 1),
    ([("promoted", 1), ("promoted", 2), ("promoted", 3), ("rolled_back", 2), ("rolled_back", 1)], 1, 0),
    ([("promoted", 1), ("promoted", 2), ("rolled_back", 1), ("promoted", 3)], 3, 1),
    ([("promoted", 1), ("promoted", 2), ("rolled_back", 1), ("promoted", 2)], 2, 1),
    ([("promoted", 1), ("promoted", 2), ("promoted", 3), ("archived", 2)], 3, 1),
    ([("promoted", 1), ("promoted", 2), ("archived", 1)], 2, 0),
    ([("promoted", 1), ("promoted", 2), ("promoted", 3), ("archived", 2), ("rolled_back", 1)], 1, 0),
    ([("promoted", 1), ("promoted", 2), ("promoted", 1)], 1, 2),
    ([("promoted", 1), ("promoted", 2), ("archived", 2), ("promoted", 1)], 1, 0),
]


@pytest.mark.parametrize(("steps", "present", "before"), LIVES)
def test_a_rollback_goes_back_one_version_at_a_time(steps: Steps, present: int, before: int) -> None:
    events = [model_event(*step) for step in steps]
    found, back = in_force(events, "fraud"), previous(events, "fraud")
    assert (found.model_version if found else 0) == present
    assert (back.model_version if back else 0) == before


def test_models_do_not_mix() -> None:
    events = [
        model_event("promoted", 1),
        model_event("promoted", 7, model_name="churn"),
        model_event("promoted", 2),
        model_event("archived", 1, model_name="churn"),
    ]
    assert in_force(events, "fraud") == events[2]
    assert previous(events, "fraud") == events[0]
    assert previous(events, "churn") is None
    assert [is_archived(events, name, 1) for name in ("fraud", "churn")] == [False, True]


def test_what_it_goes_back_to_carries_the_digest_to_load() -> None:
    events = [model_event("promoted", 1), model_event("promoted", 2), model_event("promoted", 3)]
    events.append(model_event("rolled_back", 2))
    back = previous(events, "fraud")
    assert back is not None
    assert back.model_digest == events[0].model_digest


# What happened; who is champion, who is canary and who are challengers then. 0: none.
TRIALS: list[tuple[Steps, tuple[int, int, list[int]]]] = [
    ([("promoted", 1), ("shadowed", 3), ("shadowed", 2)], (1, 0, [2, 3])),
    ([("promoted", 1), ("shadowed", 2), ("shadowed", 2)], (1, 0, [2])),
    ([("promoted", 1), ("canaried", 2)], (1, 2, [])),
    ([("promoted", 1), ("canaried", 2), ("canaried", 3)], (1, 3, [])),
    ([("promoted", 1), ("shadowed", 2), ("canaried", 2)], (1, 2, [])),
    ([("promoted", 1), ("canaried", 2), ("shadowed", 2)], (1, 0, [2])),
    ([("promoted", 1), ("canaried", 2), ("shadowed", 3), ("withdrawn", 2)], (1, 0, [3])),
    ([("promoted", 1), ("canaried", 2), ("shadowed", 3), ("withdrawn", 3)], (1, 2, [])),
    ([("promoted", 1), ("canaried", 2), ("archived", 2)], (1, 0, [])),
    ([("promoted", 1), ("shadowed", 2), ("archived", 2)], (1, 0, [])),
    ([("promoted", 1), ("canaried", 2), ("promoted", 2)], (2, 0, [])),
    ([("promoted", 1), ("shadowed", 2), ("promoted", 2)], (2, 0, [])),
    ([("promoted", 1), ("canaried", 2), ("shadowed", 3), ("promoted", 4)], (4, 2, [3])),
    ([("promoted", 1), ("promoted", 2), ("canaried", 3), ("shadowed", 4), ("rolled_back", 1)], (1, 0, [4])),
    ([("promoted", 1), ("promoted", 2), ("shadowed", 1), ("rolled_back", 1)], (1, 0, [])),
    ([("promoted", 1), ("canaried", 1)], (1, 0, [])),
    ([("promoted", 1), ("shadowed", 1), ("withdrawn", 1), ("archived", 1)], (1, 0, [])),
    ([("promoted", 1), ("canaried", 2), ("registered", 3), ("refused", 3)], (1, 2, [])),
    ([("canaried", 2)], (0, 2, [])),
]


@pytest.mark.parametrize(("steps", "roles"), TRIALS)
def test_a_version_has_the_role_it_was_given_last(steps: Steps, roles: tuple[int, int, list[int]]) -> None:
    events = [model_event(action, version, share=0.1 if action == "canaried" else None) for action, version in steps]
    now = standing(events, "fraud")
    champion, canary = (event.model_version if event else 0 for event in (now.champion, now.canary))
    assert (champion, canary, [event.model_version for event in now.challengers]) == roles


def test_a_canary_has_the_share_it_was_given_last() -> None:
    events = [model_event("promoted", 1), model_event("canaried", 2, share=0.1), model_event("canaried", 2, share=0.5)]
    canary = standing(events, "fraud").canary
    assert canary is not None
    assert canary.share == 0.5
    assert standing([events[0], model_event("canaried", 2)], "fraud").canary is None


def test_roles_of_other_models_are_not_meant() -> None:
    others = [model_event("promoted", 1, model_name="churn"), model_event("shadowed", 2, model_name="churn")]
    assert standing(others, "fraud") == Standing()
