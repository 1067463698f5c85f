"""The hash chain of the models topic."""

from collections.abc import Callable

import msgspec
import pytest

from shared.contracts import codec
from shared.contracts.events import ModelEvent
from shared.contracts.ids import derived_event_id
from shared.models.audit import first_broken_link, link
from tests.events import START, TRACE_ID

Chain = list[bytes]


@pytest.fixture
def chain() -> Chain:
    values: Chain = []
    for version in range(1, 5):
        event = ModelEvent(
            event_id=derived_event_id(START, "model", str(version)),
            occurred_at=START,
            trace_id=TRACE_ID,
            model_name="fraud",
            model_version=version,
            action="promoted",
            model_digest="a" * 64,
            feature_version="b" * 64,
            actor="training",
            reason="a test",
            previous_digest=link(values[-1]) if values else None,
        )
        values.append(codec.encode(event))
    return values


def changed(chain: Chain) -> None:
    event = codec.decode(ModelEvent, chain[1])
    chain[1] = codec.encode(msgspec.structs.replace(event, model_version=9))


def removed(chain: Chain) -> None:
    del chain[1]


def added(chain: Chain) -> None:
    chain.insert(1, chain[1])


def swapped(chain: Chain) -> None:
    chain[1], chain[2] = chain[2], chain[1]


def test_a_chain_holds(chain: Chain) -> None:
    assert first_broken_link(chain) is None
    assert first_broken_link([]) is None


@pytest.mark.parametrize(("tamper", "position"), [(changed, 2), (removed, 1), (added, 2), (swapped, 1)])
def test_whatever_is_done_to_the_past_shows(chain: Chain, tamper: Callable[[Chain], None], position: int) -> None:
    tamper(chain)
    broken = first_broken_link(chain)
    assert broken is not None
    assert broken.position == position
    assert "changed, removed or added" in broken.explanation


def test_a_chain_that_lost_its_beginning_does_not_hold(chain: Chain) -> None:
    broken = first_broken_link(chain[1:])
    assert broken is not None
    assert broken.position == 0


@pytest.mark.parametrize("value", [None, b"noise"])
def test_a_record_that_is_no_event_is_pointed_at(chain: Chain, value: bytes | None) -> None:
    broken = first_broken_link([*chain, value])
    assert broken is not None
    assert broken.position == 4
