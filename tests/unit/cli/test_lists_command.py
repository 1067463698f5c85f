"""`headrace lists` on the log in memory: what is announced, and what a person sees."""

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import lists as command
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ListEvent
from shared.contracts.topics import LISTS, TOPICS


class Scene:
    """A log, and the commands on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bus = MemoryBus(partitions=2)
        self.bus.create_topics(TOPICS)

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(command.lists, [*words, "--home", str(self.home)], env={"COLUMNS": "200"})

    def events(self) -> list[ListEvent]:
        records = self.bus.tail([LISTS.name], start="oldest").poll(wait_seconds=0.1)
        return [codec.decode(ListEvent, record.value or b"") for record in records]

    def shown(self, *words: str) -> list[list[str]]:
        return [line.split() for line in self.run("show", *words).stdout.splitlines()[1:]]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    monkeypatch.setattr(command, "open_bus", lambda _: made.bus)
    return made


def test_an_entry_is_announced_with_its_end_and_shown(scene: Scene) -> None:
    done = scene.run("add", "block", "card", "card-7", "--for", "30d", "--reason", "stolen", "--by", "ada")
    assert done.exit_code == 0, done.output
    [event] = scene.events()
    assert (event.list_name, event.entity, event.value, event.action) == ("block", "card", "card-7", "added")
    assert (event.actor, event.reason) == ("ada", "stolen")
    assert event.expires_at == event.occurred_at + timedelta(days=30)
    assert f"until {event.expires_at:%Y-%m-%d %H:%M} UTC" in done.stdout
    [row] = scene.shown()
    assert (row[:3], row[-2:]) == (["block", "card", "card-7"], ["ada", "stolen"])


def test_show_leaves_out_what_was_removed_replaced_or_is_another_entity(scene: Scene) -> None:
    scene.run("add", "block", "card", "card-7", "--reason", "stolen")
    scene.run("add", "allow", "merchant", "shop-1", "--reason", "ours", "--by", "ben")
    scene.run("add", "allow", "merchant", "shop-1", "--reason", "still_ours", "--by", "ben")
    assert scene.run("remove", "block", "card", "card-7", "--reason", "found", "--by", "ada").exit_code == 0
    assert scene.events()[-1].action == "removed" or scene.events()[0].action == "removed"
    assert [row[:3] + row[-1:] for row in scene.shown()] == [["allow", "merchant", "shop-1", "still_ours"]]
    assert scene.shown("--entity", "card") == []


def test_what_is_not_there_cannot_be_removed(scene: Scene) -> None:
    scene.run("add", "allow", "card", "card-7", "--reason", "ours")
    refused = scene.run("remove", "block", "card", "card-7", "--reason", "found")
    assert refused.exit_code == 2
    assert "headrace lists show" in refused.output
    assert len(scene.events()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("add", "deny", "card", "card-7", "--reason", "x"),
        ("add", "block", "country", "DE", "--reason", "x"),
        ("add", "block", "card", "card-7", "--reason", "x", "--for", "a while"),
        ("add", "block", "card", "card-7"),
    ],
)
def test_a_wrong_word_is_refused(scene: Scene, words: tuple[str, ...]) -> None:
    assert scene.run(*words).exit_code == 2
    assert scene.events() == []


def test_an_id_that_no_payment_can_have_is_not_announced(scene: Scene) -> None:
    assert isinstance(scene.run("add", "block", "card", "x" * 200, "--reason", "x").exception, BadRecordError)
    assert scene.events() == []


def test_a_record_that_cannot_be_read_is_passed_over(scene: Scene) -> None:
    scene.bus.publisher().send(Outgoing(LISTS.name, b"card-1", b"noise")).result()
    scene.run("add", "block", "card", "card-7", "--reason", "stolen")
    assert len(scene.shown()) == 1
    assert "no entries" in scene.run("show", "--entity", "user").stdout
