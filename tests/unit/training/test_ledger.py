"""What came late, counted once and told by how late."""

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.features import features
from services.training.ledger import LedgerRow, ledger
from shared.contracts.events import FeatureVector, Freshness
from shared.contracts.topics import FEATURES
from tests.unit.training.training_scene import DAY, archive, delivered, start_date, vector


def late(transaction_id: str, seconds: float, outdated: int = 0, *, after: timedelta = timedelta()) -> FeatureVector:
    made = vector(transaction_id, after=after)
    fields = {name: getattr(made, name) for name in made.__struct_fields__ if name != "freshness"}
    freshness = Freshness(state_age_seconds=0.1, source_lag_records=3, late_seconds=seconds, outdated_vectors=outdated)
    return FeatureVector(**fields, freshness=freshness)


VECTORS = [
    late("in time", 0.0),
    late("a", 0.999, 1),
    late("b", 1.0, 2),
    late("c", 59.0, 3, after=DAY),
    late("d", 3_599.0, 10, after=DAY),
    late("e", 86_399.0, 20, after=2 * DAY),
    late("f", 86_400.0, 40, after=2 * DAY),
    late("g", 9e6, 80, after=3 * DAY),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    rows = delivered(FEATURES, VECTORS)
    archive(tmp_path).write(rows)
    archive(tmp_path).write(rows[3:5])  # delivered again
    return tmp_path


def test_each_late_payment_counts_once_where_its_lateness_belongs(home: Path) -> None:
    found = ledger(archive(home))
    assert found.payments == 8
    assert found.late == [
        LedgerRow("< 1 s", 1, 1),
        LedgerRow("< 1 min", 2, 5),
        LedgerRow("< 1 h", 1, 10),
        LedgerRow("< 1 d", 1, 20),
        LedgerRow("1 d or more", 2, 120),
    ]


def test_a_ledger_can_begin_with_a_day(home: Path) -> None:
    found = ledger(archive(home), since=start_date() + 3 * DAY)
    assert found.payments == 1
    assert [row.payments for row in found.late] == [0, 0, 0, 0, 1]


def test_an_empty_archive_has_an_empty_ledger(tmp_path: Path) -> None:
    found = ledger(archive(tmp_path))
    assert (found.payments, sum(row.payments for row in found.late)) == (0, 0)


def test_the_command_prints_it_and_says_where_duplicates_are_counted(home: Path) -> None:
    shown = CliRunner().invoke(features, ["ledger", "--home", str(home)])
    assert shown.exit_code == 0, shown.output
    assert "7 of 8 archived payments came late" in shown.output
    assert ["1", "d", "or", "more", "2", "120"] in [line.split() for line in shown.output.splitlines()]
    assert "headrace_duplicates_total" in shown.output
