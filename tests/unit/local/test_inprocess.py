"""Without a broker the whole platform runs in one process, built from the same parts."""

from pathlib import Path

import httpx
import pytest

from services.local.addresses import SERVICES
from services.local.inprocess import InProcessPlatform
from services.local.opening import open_platform
from shared.contracts import codec
from shared.contracts.events import Decision
from tests.events import payment

SECONDS_MAX = 30


def test_a_machine_without_java_gets_the_in_memory_bus_and_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    said: list[str] = []
    platform = open_platform(tmp_path, say=said.append)
    assert isinstance(platform, InProcessPlatform)
    [line] = said
    assert line.startswith("no Java: install a JDK")
    assert "in-memory bus" in line


def test_a_payment_posted_to_ingest_is_decided(tmp_path: Path) -> None:
    with InProcessPlatform(tmp_path) as platform:
        platform.start(print)
        assert tuple(platform.addresses.services) == SERVICES
        decisions = platform.bus().tail(["scores"], start="oldest")
        posted = httpx.post(
            f"{platform.addresses.services['ingest']}/v1/transactions",
            content=codec.encode(payment("p-1")),
            headers={"content-type": "application/json"},
        )
        assert posted.status_code == 202, posted.text
        [record] = decisions.poll(wait_seconds=SECONDS_MAX)
        decision = codec.decode(Decision, record.value or b"")
        assert decision.transaction_id == "p-1"
        assert platform.failures() == []
        urls = list(platform.addresses.services.values())
    for url in urls:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/health/live")
