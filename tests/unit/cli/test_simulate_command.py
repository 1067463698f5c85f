"""`headrace simulate` against a real ingest on the memory bus, and against a whole platform in this process."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli import simulate as command
from services.cli.simulate import simulate
from services.local.discovery import url_variable
from services.local.inprocess import InProcessPlatform
from shared.access.keys import change_keys, new_key
from shared.access.roles import Role
from shared.contracts.codec import decode_record
from shared.contracts.events import Label, Transaction
from shared.contracts.shopping import Interaction
from shared.contracts.topics import INTERACTIONS
from shared.runtime.clock import SystemClock
from tests.unit.ingest.serving import Running, serving

app = typer.Typer()
app.command()(simulate)


@pytest.fixture
def ingest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(command, "CARDS", 500)
    with serving(clock=SystemClock()) as running:
        yield running


def run(ingest: Running, home: Path, *options: str) -> Result:
    result = CliRunner().invoke(app, ["--url", ingest.url, "--home", str(home), "--for", "1.5s", *options])
    assert result.exit_code == 0, result.output
    return result


def payments(ingest: Running) -> list[Transaction]:
    return [event for event in ingest.events("transactions") if isinstance(event, Transaction)]


def labels(ingest: Running) -> list[Label]:
    return [event for event in ingest.events("labels") if isinstance(event, Label)]


def test_payments_happen_now_and_labels_follow_them(ingest: Running, tmp_path: Path) -> None:
    began = datetime.now().astimezone()
    result = run(ingest, tmp_path, "--payments-per-second", "400", "--label-delay", "0.2s")
    sent = payments(ingest)
    assert f"Sent {len(sent):,} payments" in result.output
    assert len(sent) > 50
    assert len({payment.transaction_id for payment in sent}) == len({payment.event_id for payment in sent}) == len(sent)
    assert all(payment.occurred_at >= began for payment in sent)
    known = {payment.transaction_id: payment for payment in sent}
    assert labels(ingest)
    for label in labels(ingest):
        waited = label.occurred_at - known[label.transaction_id].occurred_at
        assert waited.total_seconds() == pytest.approx(0.2)


def test_of_several_replicas_the_first_is_sent_to(
    ingest: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(url_variable("ingest"), f"{ingest.url}, http://127.0.0.1:1")
    result = CliRunner().invoke(app, ["--home", str(tmp_path), "--for", "0.3s", "--payments-per-second", "100"])
    assert result.exit_code == 0, result.output
    assert payments(ingest)


def test_another_run_has_the_same_cards_and_other_payments(ingest: Running, tmp_path: Path) -> None:
    run(ingest, tmp_path, "--payments-per-second", "200")
    first = payments(ingest)
    run(ingest, tmp_path, "--payments-per-second", "200")
    both = payments(ingest)
    assert len({payment.transaction_id for payment in both}) == len(both) > len(first)


def test_shoppers_ask_a_real_scoring_and_click_on_what_they_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CARDS", 500)
    with InProcessPlatform(tmp_path) as platform:
        platform.start(print)
        urls = platform.addresses.services
        where = ["--url", urls["ingest"], "--scoring-url", urls["scoring"], "--home", str(tmp_path)]
        options = ["--shop", "--visits-per-second", "50", "--for", "4s", "--drift-after", "1s"]
        result = CliRunner().invoke(app, [*where, *options])
        assert result.exit_code == 0, result.output
        assert "the world has changed" in result.output
        assert "not answered" not in result.output
        records = platform.bus().tail([INTERACTIONS.name], start="oldest").poll(wait_seconds=5.0)
        seen = [decode_record(INTERACTIONS, record.key, record.value) for record in records]
        assert any(isinstance(event, Interaction) and event.recommendation_id for event in seen)
        assert platform.failures() == []


def test_the_key_is_shown_and_a_wrong_one_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CARDS", 500)
    clock = SystemClock()
    key, text = new_key("simulator", frozenset({Role.SCORE, Role.LABEL}), rate_per_second=10_000, now=clock.now())
    keys_file = tmp_path / "keys.json"
    change_keys(keys_file, lambda before: [*before, key])
    with serving(clock=clock, headrace_keys_file=keys_file) as ingest:
        monkeypatch.setenv("HEADRACE_API_KEY", text)
        run(ingest, tmp_path)
        assert payments(ingest)
        options = ["--url", ingest.url, "--home", str(tmp_path), "--for", "1m", "--api-key", "wrong"]
        refused = CliRunner().invoke(app, options)
    assert refused.exit_code == 1
    assert "headrace simulate: ingest" in refused.output
    assert "401" in refused.output


def test_without_a_platform_it_says_how_to_get_one(tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["--home", str(tmp_path)])
    assert refused.exit_code == 1
    assert "headrace up" in str(refused.exception)
