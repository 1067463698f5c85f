"""The README's own examples, run against a running platform: what a newcomer copies works."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.local.platform import Platform
from shared.contracts import codec
from shared.contracts.events import Decision
from shared.contracts.topics import SCORES
from tests.architecture.source import ROOT

pytestmark = pytest.mark.servers

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("platform")
    with Platform(home, services=["ingest", "features", "scoring"]) as running:
        running.start(lambda _: None)
        yield running


def example(platform: Platform, language: str, containing: str) -> str:
    """Return the one block of the README in `language` that holds `containing`, with the addresses of `platform`."""
    (block,) = (b for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in b)
    addresses = {
        "http://127.0.0.1:8001": platform.addresses.services["ingest"],
        "http://127.0.0.1:8003": platform.addresses.services["scoring"],
        "127.0.0.1:9092": str(platform.addresses.kafka),
    }
    for shown, actual in addresses.items():
        block = block.replace(shown, actual)
    return str(block)


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_decision_is_asked_for_with_curl(platform: Platform) -> None:
    answer = json.loads(run("sh", "-c", example(platform, "sh", "/v1/score")))
    assert (answer["transaction_id"], answer["decision"]) == ("order-4711", "approve")
    assert answer["degraded"] == ["model"]  # none has been trained here


def test_a_payment_is_handed_in_with_curl(platform: Platform) -> None:
    assert set(json.loads(run("sh", "-c", example(platform, "sh", "/v1/transactions")))) == {"event_id", "trace_id"}


def test_a_payment_is_sent_to_kafka_and_its_decision_read(platform: Platform) -> None:
    decision = json.loads(run(sys.executable, "-c", example(platform, "python", "order-4713")))
    assert (decision["transaction_id"], decision["decision"]) == ("order-4713", "approve")


def test_a_file_is_replayed_with_its_own_column_names(platform: Platform, tmp_path: Path) -> None:
    command = example(platform, "sh", "headrace replay payments.csv").split("\n.venv/bin/headrace train")[0]
    (tmp_path / "payments.csv").write_text(
        "transaction_id,CUSTOMER,merchant_id,TIME,amount,IS_FRAUD\n"
        "f1,card-7,shop-1,2026-03-01T10:00:00,12.50,0\nf2,card-7,shop-1,2026-03-01T11:00:00,99.00,1\n"
    )
    command = command.replace("payments.csv", str(tmp_path / "payments.csv"))
    command = command.replace(".venv/bin/headrace", f"{sys.executable} -m services.cli")
    url = platform.addresses.services["ingest"]
    environment = {**os.environ, "HEADRACE_INGEST_URL": url, "HEADRACE_HOME": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert decided(platform, "f1", "f2") == {"f1": "card-7", "f2": "card-7"}


def test_the_shop_asks_what_to_show_and_the_click_is_known(platform: Platform) -> None:
    *told, asked = example(platform, "sh", "/v1/items/shoe-1").split("curl ")[1:]
    for command in told:
        assert set(json.loads(run("sh", "-c", f"curl {command}"))) == {"event_id", "trace_id"}
    answer: dict[str, Any] = {"items": []}
    for _ in range(150):  # the catalogue and the click come over the log
        answer = json.loads(run("sh", "-c", f"curl {asked}"))
        if [item["item_id"] for item in answer["items"]] == ["shoe-2"]:
            break
    assert [item["item_id"] for item in answer["items"]] == ["shoe-2"]
    assert answer["degraded"] == ["model"]  # none has been trained here


def decided(platform: Platform, *transaction_ids: str) -> dict[str, str]:
    """Return the cards of these payments' decisions, once all are there."""
    tail = platform.bus().tail([SCORES.name], start="oldest")
    found: dict[str, str] = {}
    for _ in range(150):
        for record in tail.poll(wait_seconds=0.2):
            decision = codec.decode(Decision, record.value or b"")
            if decision.transaction_id in transaction_ids:
                found[decision.transaction_id] = decision.card_id
        if len(found) == len(transaction_ids):
            break
    return found
