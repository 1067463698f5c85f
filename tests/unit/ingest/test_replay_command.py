from collections.abc import Iterator
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from services.cli.replay import replay
from services.local.discovery import url_variable
from shared.contracts.shopping import Item, User
from shared.runtime.clock import SystemClock
from tests.unit.ingest.serving import Running, serving

HEADER = "transaction_id,occurred_at,CUSTOMER,merchant_id,amount,country,mcc,FRAUD\n"
LINES = "".join(f"tx-{n},2026-03-0{n} 10:00:00,card-1,shop-1,19.99,BE,5411,0\n" for n in range(1, 6))
MAPPING = ["--map", "card_id=CUSTOMER", "--set", "currency=EUR", "--set", "channel=atm", "--amount-unit", "major"]

app = typer.Typer()
app.command()(replay)


@pytest.fixture
def ingest() -> Iterator[Running]:
    # The command tells what has no time as of now.
    with serving(clock=SystemClock()) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "payments.csv"
    path.write_text(HEADER + LINES)
    return path


def test_a_file_is_replayed_and_the_summary_says_what_was_sent(ingest: Running, file: Path, tmp_path: Path) -> None:
    options = ["--from", "2026-03-02", "--to", "2026-03-05T00:00Z", "--fraud-column", "FRAUD", "--label-delay", "1d"]
    result = CliRunner().invoke(app, [str(file), *MAPPING, *options, "--url", ingest.url, "--home", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "Sent 3 transactions, 2 labels" in result.output
    assert len(ingest.events("transactions")) == 3
    assert len(ingest.events("labels")) == 2


def test_of_several_replicas_the_first_is_sent_to(
    ingest: Running, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(url_variable("ingest"), f"{ingest.url}, http://127.0.0.1:1")
    result = CliRunner().invoke(app, [str(file), *MAPPING, "--home", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert len(ingest.events("transactions")) == 5


def test_what_is_missing_is_said_in_one_message(ingest: Running, file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(file), "--url", ingest.url, "--home", str(tmp_path)])
    assert result.exit_code == 1
    assert "map card_id=COLUMN" in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "options",
    [
        ["--map", "card_id"],
        ["--map", "card_id=A", "--map", "card_id=B"],
        ["--label-delay", "soon"],
        ["--from", "yesterday"],
        ["--speed", "-1"],
    ],
)
def test_a_wrong_option_is_a_usage_error(file: Path, options: list[str]) -> None:
    result = CliRunner().invoke(app, [str(file), *options])
    assert result.exit_code == 2
    assert options[0] in result.output or options[1] in result.output


def test_a_catalogue_is_imported_without_event_times(ingest: Running, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text(
        "item_id,categories,attributes.price,is_available,expires_at\n"
        "i1,shoes|sale,19.99,true,2027-01-01\n"
        "i2,,7,false,\n"
    )
    options = ["--topic", "items", "--url", ingest.url, "--home", str(tmp_path)]
    result = CliRunner().invoke(app, [str(file), *options])
    assert result.exit_code == 0, result.output
    assert "Sent 2 items" in result.output
    first, second = sorted(
        (event for event in ingest.events("items") if isinstance(event, Item)), key=attrgetter("item_id")
    )
    assert (first.categories, first.attributes, first.is_available) == (["shoes", "sale"], {"price": 19.99}, True)
    assert first.expires_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert (second.categories, second.attributes, second.is_available) == ([], {"price": 7.0}, False)


def test_users_are_imported_with_their_own_columns(ingest: Running, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("ID,AGE,CITY\n1,31,Gent\n2,,Brugge\n")
    mapping = ["--map", "user_id=ID", "--map", "attributes.age=AGE", "--map", "attributes.city=CITY"]
    options = ["--topic", "users", *mapping, "--url", ingest.url, "--home", str(tmp_path)]
    result = CliRunner().invoke(app, [str(file), *options])
    assert result.exit_code == 0, result.output
    known = {event.user_id: event.attributes for event in ingest.events("users") if isinstance(event, User)}
    assert known == {"1": {"age": 31.0, "city": "Gent"}, "2": {"city": "Brugge"}}
