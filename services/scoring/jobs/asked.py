"""What the query of POST /v1/jobs asks for: one definition, for reading and for the OpenAPI document."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.datastructures import QueryParams

from services.scoring.jobs.folder import Columns
from services.scoring.jobs.results import Format
from shared.intake.problems import IntakeError
from shared.intake.refusals import refused

_Pair = Annotated[str, Meta(pattern="^[^=]+=.+$")]
_LISTS = ("map", "set")


class JobRefusedError(IntakeError):
    """The parameters of a job, or the columns of its file, cannot be what is meant."""

    status = 422


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters."""

    format: Annotated[Format, Meta(description="Format of the file.")]
    result: Annotated[Format, Meta(description="Format of the decisions; that of the file where left out.")] | None = (
        None
    )
    map: Annotated[
        list[_Pair], Meta(description="FIELD=COLUMN, repeatable: a field from a column of another name.")
    ] = []
    set: Annotated[list[_Pair], Meta(description="FIELD=VALUE, repeatable: the same value for every row.")] = []
    amount_unit: Annotated[
        Literal["minor", "major"], Meta(description="Whether 19.99 EUR stands as 1999 (minor) or 19.99 (major).")
    ] = "minor"
    fraud_column: (
        Annotated[str, Meta(min_length=1, description="A 0/1 column: each payment's label becomes known too.")] | None
    ) = None
    label_delay_hours: Annotated[
        float, Meta(ge=0, le=87_600, description="How long after its payment a label becomes known.")
    ] = 168.0
    sort: Annotated[bool, Meta(description="Read the whole file into memory and sort it by event time first.")] = False

    def columns(self) -> Columns:
        """Return how the file's columns make payments; raises JobRefusedError."""
        return Columns(
            columns=_pairs("map", self.map),
            constants=_pairs("set", self.set),
            amount_unit=self.amount_unit,
            fraud_column=self.fraud_column,
            label_delay=timedelta(hours=self.label_delay_hours),
            sort=self.sort,
        )


_SCHEMA: Mapping[str, Any] = msgspec.json.schema_components([Asked])[1]["Asked"]


def asked(query: QueryParams) -> Asked:
    """Return what a query asks for; raises InvalidEventError, which names the parameter."""
    values: dict[str, str | list[str]] = {}
    for name in query:
        given = query.getlist(name)
        # One that may stand once only and stands twice is told to be an array.
        values[name] = given if name in _LISTS or len(given) > 1 else given[0]
    try:
        return msgspec.convert(values, Asked, strict=False)
    except msgspec.ValidationError as error:
        raise refused(error, _SCHEMA) from error


def parameters() -> list[dict[str, Any]]:
    """Return the parameters as an OpenAPI document describes them."""
    return [
        {
            "name": name,
            "in": "query",
            "required": name in _SCHEMA["required"],
            "description": described.get("description") or described["anyOf"][0]["description"],
            "schema": {key: value for key, value in described.items() if key != "description"},
        }
        for name, described in _SCHEMA["properties"].items()
    ]


def _pairs(name: str, entries: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for entry in entries:
        field, _, value = entry.partition("=")
        if field in pairs:
            raise JobRefusedError("invalid_field", f"{name} gives {field} twice", field=name)
        pairs[field] = value
    return pairs
