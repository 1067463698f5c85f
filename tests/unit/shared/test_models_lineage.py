"""Which version is in force, and which one a rollback goes back to."""

import pytest

from shared.models.lineage import in_force, is_archived, previous
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
