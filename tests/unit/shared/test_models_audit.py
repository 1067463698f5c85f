"""What an audit of the models topic finds: in its hash chain, in what it says, in the files of the models."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from shared.contracts import codec
from shared.contracts.chain import first_broken_link, link
from shared.contracts.events import ModelEvent
from shared.models.audit import examine
from shared.models.manifest import RECOMMENDATION
from shared.models.packages import Packages, packed, sha256
from tests.model_events import chain, model_event
from tests.models import flip_a_byte, manifest_of
from tests.recommenders import manifest_of as recommendation_manifest

Values = list[bytes]


@pytest.fixture
def values() -> Values:
    """Versions 1 to 4, each registered and promoted: eight records."""
    return chain(model_event(action, version) for version in range(1, 5) for action in ("registered", "promoted"))


def changed(values: Values) -> None:
    event = codec.decode(ModelEvent, values[1])
    values[1] = codec.encode(msgspec.structs.replace(event, reason="another"))


def removed(values: Values) -> None:
    del values[1]


def repeated(values: Values) -> None:
    values.insert(1, values[1])


def swapped(values: Values) -> None:
    values[1], values[2] = values[2], values[1]


def slipped_in(values: Values) -> None:
    """A promotion that follows the record before it, as whoever can read the topic is able to make."""
    values.insert(3, codec.encode(model_event("promoted", 1, name="forged", previous_digest=link(values[2]))))


def forged_at_the_end(values: Values) -> None:
    """A promotion whose digest only looks like one."""
    values.append(codec.encode(model_event("promoted", 1, name="forged", previous_digest="e" * 64)))


def beginning_lost(values: Values) -> None:
    del values[:2]


TAMPERING = [
    (changed, 2),
    (removed, 1),
    (repeated, 2),
    (swapped, 1),
    (slipped_in, 4),
    (forged_at_the_end, 8),
    (beginning_lost, 0),
]


def test_a_chain_that_nobody_touched_holds(values: Values, tmp_path: Path) -> None:
    found = examine(values, Packages(tmp_path))
    assert found.problems == ()
    assert len(found.events) == 8
    assert found.chain.head == link(values[-1])
    assert examine([], Packages(tmp_path)).problems == ()


@pytest.mark.parametrize(("tamper", "position"), TAMPERING)
def test_whatever_is_done_to_the_past_shows_where_it_was_done(
    values: Values, tamper: Callable[[Values], None], position: int, tmp_path: Path
) -> None:
    tamper(values)
    broken = first_broken_link(values, ModelEvent)
    assert broken is not None
    assert broken.position == position
    problem = examine(values, Packages(tmp_path)).problems[0]
    event = codec.decode(ModelEvent, values[position])
    expected = link(values[position - 1]) if position else "None"
    for told in (f"record {position},", event.event_id, str(event.previous_digest), expected):
        assert told in problem


@pytest.mark.parametrize("value", [None, b"noise"])
def test_a_record_that_is_no_event_is_pointed_at(values: Values, value: bytes | None, tmp_path: Path) -> None:
    broken = first_broken_link([*values, value], ModelEvent)
    assert broken is not None
    assert broken.position == 8
    assert len(examine([*values, value], Packages(tmp_path)).events) == 8


def test_an_end_that_was_cut_off_shows_against_a_head_noted_earlier(values: Values, tmp_path: Path) -> None:
    noted = link(values[5])
    assert examine(values, Packages(tmp_path), earlier_head=noted).chain.behind_head == 2
    cut = examine(values[:5], Packages(tmp_path), earlier_head=noted)
    assert examine(values[:5], Packages(tmp_path)).problems == (), "the chain alone cannot tell"
    assert cut.chain.behind_head is None
    assert noted in cut.problems[0]


def test_words_that_contradict_the_registration_show_in_a_chain_that_holds(tmp_path: Path) -> None:
    values = chain(
        [
            model_event("registered", 1),
            model_event("promoted", 1),
            model_event("registered", 2),
            model_event("promoted", 2, model_digest="c" * 64),
            model_event("promoted", 3),
            model_event("archived", 1, model_digest=None),
            model_event("refused", 0, model_digest=None),
        ]
    )
    assert first_broken_link(values, ModelEvent) is None
    other_bytes, unregistered = examine(values, Packages(tmp_path)).problems
    assert "c" * 64 in other_bytes
    assert "fraud 3 was promoted, but had not been registered" in unregistered


def test_files_on_this_machine_must_be_what_was_announced(tmp_path: Path) -> None:
    onnx = b"never run here"
    packages = Packages(tmp_path)
    events = []
    for version in (1, 2, 3, 4):
        manifest = manifest_of(version, onnx)
        announced = sha256(packed(manifest, onnx).manifest)
        events.append(model_event("registered", version, model_digest=sha256(onnx), manifest_digest=announced))
        if version < 4:
            packages.add(manifest, onnx)
    found = examine(chain(events), packages)
    assert (found.whole, found.absent, found.problems) == (3, 1, ())
    flip_a_byte(tmp_path / "fraud" / "2" / "model.onnx")
    with (tmp_path / "fraud" / "3" / "manifest.json").open("ab") as file:
        file.write(b"\n")
    found = examine(chain(events), packages)
    assert (found.whole, found.absent) == (1, 1)
    assert [("model.onnx" in problem, "manifest.json has" in problem) for problem in found.problems] == [
        (True, False),
        (False, True),
    ]


def test_files_of_recommenders_are_looked_at_like_those_of_the_others(tmp_path: Path) -> None:
    onnx = b"never run here"
    packages = Packages(tmp_path)
    manifest = recommendation_manifest(onnx)
    packages.add(manifest, onnx)
    digests = {"model_digest": sha256(onnx), "manifest_digest": sha256(packed(manifest, onnx).manifest)}
    events = [model_event("registered", 1, model_name=RECOMMENDATION, **digests)]
    assert examine(chain(events), packages).whole == 1
    flip_a_byte(tmp_path / RECOMMENDATION / "1" / "model.onnx")
    (problem,) = examine(chain(events), packages).problems
    assert "recommendation 1" in problem
