"""`headrace status --watch`: it ends by what was seen last, and spares the log."""

import signal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from services.cli import status as command
from services.cli.status import watched
from services.local.addresses import SERVICES
from services.local.survey import Sources, look, overview
from shared.bus.memory import MemoryBus
from shared.contracts.topics import TOPICS
from tests.unit.local.test_overview import READY, answering, run


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_SECONDS", 0.02)


class Failing(dict[str, str]):
    """Answers of a process that is away from its third look on; somebody presses Ctrl-C at the fifth."""

    looks = 0

    def get(self, path: str, default: Any = None) -> Any:
        if path != "/health/ready":
            return super().get(path, default)
        self.looks += 1
        if self.looks == 5:
            signal.raise_signal(signal.SIGINT)
        return super().get(path) if self.looks <= 2 else None


def test_it_exits_by_the_last_look(tmp_path: Path) -> None:
    with answering(READY) as url, answering(Failing(READY)) as failing:
        urls = dict.fromkeys(SERVICES, url)
        shown = run(tmp_path, urls | {"scoring": failing}, "--watch")
    assert shown.exit_code == 1, shown.output


class CountingBus(MemoryBus):
    """Counts how often it is read."""

    reads = 0

    def tail(self, *arguments: Any, **named: Any) -> Any:
        self.reads += 1
        return super().tail(*arguments, **named)


def test_the_log_is_read_more_rarely_than_processes_are_asked() -> None:
    bus = CountingBus(partitions=1)
    bus.create_topics(TOPICS)
    sources = Sources(bus, None, None)
    with answering(READY) as url:
        urls: dict[str, str | None] = dict.fromkeys(SERVICES, url)
        first = look(urls)
        seen = overview(first, look(urls), sources)
        assert (bus.reads, seen.dead_letters) == (1, {})
        rarely = list(islice(watched(urls, first, seen, sources, log_every_seconds=1e9), 3))
        assert bus.reads == 1
        assert [each.dead_letters for each in rarely] == [{}, {}, {}]
        assert len({each.taken_at for each in rarely}) == 3
        list(islice(watched(urls, first, seen, sources, log_every_seconds=0.0), 3))
        assert bus.reads == 4
