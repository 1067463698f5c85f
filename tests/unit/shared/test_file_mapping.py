"""Rows of a file to events."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.files.event_file import EventFile, FileError
from shared.files.mapping import RowError, RowMapping

REST = {"currency": "EUR", "channel": "ecommerce", "country": "BE", "mcc": "5411", "merchant_id": "m"}
TIME = datetime(2026, 3, 2, 12, tzinfo=UTC)


def mapped(row: dict[str, Any], **file: Any) -> dict[str, Any]:
    mapping = RowMapping(EventFile(file=Path("payments.jsonl"), **file), None)
    return mapping.event(row, mapping.occurred_at(row))


def row(**cells: Any) -> dict[str, Any]:
    return {"occurred_at": TIME, "transaction_id": "t", "card_id": "c", "amount": 1999} | REST | cells


@pytest.mark.parametrize(
    ("cell", "currency", "unit", "amount"),
    [
        (1999, "EUR", "minor", 1999),
        ("1999", "EUR", "minor", 1999),
        (1999.0, "EUR", "minor", 1999),
        (19.99, "EUR", "major", 1999),
        ("19.99", "EUR", "major", 1999),
        (0.29, "EUR", "major", 29),
        (57.160000000000004, "EUR", "major", 5716),
        (1999, "JPY", "major", 1999),
        ("1.999", "KWD", "major", 1999),
    ],
)
def test_amounts(cell: Any, currency: str, unit: Any, amount: int) -> None:
    assert mapped(row(amount=cell, currency=currency), amount_unit=unit)["amount"] == amount


@pytest.mark.parametrize(
    ("cell", "instant"),
    [
        (datetime(2026, 3, 2, 12), TIME),  # noqa: DTZ001 - a file's naive time is UTC
        ("2026-03-02 12:00:00", TIME),
        ("2026-03-02T12:00:00Z", TIME),
        ("2026-03-02T14:00:00+02:00", TIME),
        ("2026-03-02", TIME.replace(hour=0)),
    ],
)
def test_event_time(cell: Any, instant: datetime) -> None:
    assert mapped(row(occurred_at=cell))["occurred_at"] == instant


def test_cells_become_what_their_field_needs() -> None:
    event = mapped(
        row(
            transaction_id=17, card_id=4.0, mcc=742, device_id="", HOLDER=31.0, risk="0.5", place="north", gap=math.nan
        ),
        columns={
            "user_id": "HOLDER",
            "attributes.risk": "risk",
            "attributes.place": "place",
            "attributes.gap": "gap",
        },
        constants={"attributes.origin": "file", "merchant_id": "everywhere"},
    )
    assert event["transaction_id"] == "17"
    assert event["card_id"] == "4"
    assert event["mcc"] == "0742"
    assert "device_id" not in event
    assert event["user_id"] == "31"
    assert event["attributes"] == {"origin": "file", "risk": 0.5, "place": "north"}
    assert event["merchant_id"] == "everywhere"


@pytest.mark.parametrize(
    ("cells", "unit", "field"),
    [
        ({"amount": "a lot"}, "minor", "amount"),
        ({"amount": 19.99}, "minor", "amount"),
        ({"amount": "a lot"}, "major", "amount"),
        ({"amount": float("inf")}, "major", "amount"),
        ({"amount": "1e999999999"}, "minor", "amount"),
        ({"amount": "1e999999999"}, "major", "amount"),
        ({"occurred_at": "soon"}, "minor", "occurred_at"),
        ({"occurred_at": 1234567}, "minor", "occurred_at"),
        ({"occurred_at": None}, "minor", "occurred_at"),
        ({"attributes": "red"}, "minor", "attributes"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(cells: dict[str, Any], unit: Any, field: str) -> None:
    with pytest.raises(RowError) as refusal:
        mapped(row(**cells), amount_unit=unit)
    assert refusal.value.problem.field == field


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ({"columns": {"card": "CARD"}}, "no field 'card'"),
        ({"columns": {"card_id": "CRAD"}}, "no column 'CRAD'"),
        ({"fraud_column": "FRAUD"}, "no column 'FRAUD'"),
        ({}, "map card_id=COLUMN"),
    ],
)
def test_columns_that_do_not_fit_the_file_are_named(file: dict[str, Any], told: str) -> None:
    columns = ["occurred_at", "transaction_id", "amount", "CARD", *REST]
    with pytest.raises(FileError, match=told):
        RowMapping(EventFile(file=Path("payments.csv"), **file), columns)


@pytest.mark.parametrize(
    "file",
    [
        {"topic": "scores"},
        {"topic": "labels", "fraud_column": "FRAUD"},
        {"since": datetime(2026, 3, 2)},  # noqa: DTZ001
        {"columns": {"mcc": "M"}, "constants": {"mcc": "5411"}},
    ],
)
def test_a_description_that_contradicts_itself_is_refused(file: dict[str, Any]) -> None:
    with pytest.raises(FileError):
        EventFile(file=Path("payments.csv"), **file)


def entry(row: dict[str, Any], columns: list[str] | None = None, **file: Any) -> dict[str, Any]:
    mapping = RowMapping(EventFile(file=Path("items.csv"), topic="items", **file), columns)
    return mapping.event(row, mapping.occurred_at(row))


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        ("categories", "shoes|sale", ["shoes", "sale"]),
        ("categories", "shoes | winter sale", ["shoes", "winter sale"]),
        ("categories", "shoes", ["shoes"]),
        ("categories", ["shoes", 7.0], ["shoes", "7"]),
        ("is_available", "false", False),
        ("is_available", 0, False),
        ("is_available", True, True),
        ("is_deleted", "Yes", True),
        ("expires_at", "2026-03-02", TIME.replace(hour=0)),
        ("available_from", TIME, TIME),
        ("attributes.price", "19.99", 19.99),
        ("attributes.colour", "red", "red"),
    ],
)
def test_cells_of_an_item(field: str, cell: Any, value: Any) -> None:
    """A column named as a field or an attribute needs no mapping."""
    event = entry({"item_id": 17, field: cell}, ["item_id", field], undated_at=TIME)
    name, _, attribute = field.partition(".")
    told = {name: {attribute: value}} if attribute else {name: value}
    assert event == {"item_id": "17", "occurred_at": TIME} | told


@pytest.mark.parametrize("cells", [{"categories": 3}, {"is_available": "maybe"}, {"is_available": "fraud"}])
def test_a_cell_that_does_not_fit_an_item_is_named(cells: dict[str, Any]) -> None:
    with pytest.raises(RowError) as refusal:
        entry({"item_id": "i"} | cells, undated_at=TIME)
    assert refusal.value.problem.field == next(iter(cells))


def test_what_has_no_time_is_so_as_of_the_time_that_is_given() -> None:
    later = TIME.replace(hour=18)
    assert entry({"item_id": "i"}, undated_at=later)["occurred_at"] == later
    assert entry({"item_id": "i", "occurred_at": TIME}, undated_at=later)["occurred_at"] == TIME
    with pytest.raises(FileError, match="nothing makes occurred_at"):
        entry({"item_id": "i"}, ["item_id"])
