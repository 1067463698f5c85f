"""Query strings and bodies, turned into what is asked; whatever is wrong is told by its field."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from services.scoring.recommendations.asked import (
    ITEMS_DEFAULT,
    ITEMS_MAX,
    Asked,
    Changes,
    Condition,
    Recent,
    Share,
    Value,
)
from shared.contracts.fields import AttributeName, Identifier
from shared.contracts.shopping import Surface
from shared.intake.problems import InvalidEventError
from shared.intake.refusals import refused
from shared.intake.taking import not_json

_RECENT_MAX = 256
_EXCLUDED_MAX = 10_000
_FIELDS_MAX = 200
_KEPT_QUERY_BYTES_MAX = 512
_KEPT_QUERIES_MAX = 2_048
_CONTEXT = "context."

Count = Annotated[int, Meta(ge=1, le=ITEMS_MAX, description=f"How many items, 1 to {ITEMS_MAX}.")]
Category = Annotated[Identifier | None, Meta(description="Items of this category only.")]
Excluded = Annotated[list[Identifier], Meta(max_length=_EXCLUDED_MAX, description="Ids of items not to show.")]
Context = Annotated[
    dict[AttributeName, Value],
    Meta(
        max_length=32,
        description="What is known of the moment, as the device or the page. The attribute that the model tells "
        "segments by goes before the shopper's own.",
    ),
]
_Explain = Annotated[bool, Meta(description="Add to each item what each part of the history adds to its score.")]
_Trace = Annotated[bool, Meta(description="Add what each stage removed or moved, and why.")]
_User = Annotated[Identifier | None, Meta(description="The shopper.")]
_Session = Annotated[Identifier | None, Meta(description="Names a shopper who is not known, for as long as a visit.")]
_Recents = Annotated[
    list[Identifier | Recent],
    Meta(
        max_length=_RECENT_MAX,
        description="What the shopper did just now, the latest first: ids of items viewed, or objects of item_id and "
        "kind. It goes before what is stored.",
    ),
]

_FILTER = re.compile(r"(?P<attribute>[^:<>=]+)(?P<sign>:|>=|<=)(?P<value>.*)", re.DOTALL)
_FILTER_HINT = "Send filter=brand:acme, filter=price>=10 or filter=price<=99; repeated, an item must meet all of them."


class ListQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a query string can ask of every list; names that may stand several times are lists."""

    n: Count = ITEMS_DEFAULT
    category: Category = None
    exclude: Annotated[list[str], Meta(description="Ids of items not to show, separated by commas.")] = []
    filter: Annotated[list[str], Meta(max_length=32, description=_FILTER_HINT)] = []
    diversity: Annotated[Share | UnsetType, Meta(description="0 ranks by score alone, 1 by difference alone.")] = UNSET
    explain: _Explain = False
    trace: _Trace = False


class ShopperQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be asked for a shopper."""

    exploration: Annotated[Share | UnsetType, Meta(description="How often the bandit fills the explored place.")] = (
        UNSET
    )
    context: Context = {}


class PageQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be asked for a page that is the same for all; who sees it is for the log only."""

    user_id: _User = None
    session_id: _Session = None


class PostedQuestion(Changes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question for items; without a user_id its `recent` is all that is known of the shopper."""

    user_id: _User = None
    session_id: _Session = None
    recent: _Recents = field(default_factory=list)
    n: Count = ITEMS_DEFAULT
    category: Category = None
    exclude: Excluded = field(default_factory=list)
    context: Context = field(default_factory=dict)
    explain: _Explain = False
    trace: _Trace = False


class PostedRanking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items of the caller's own, to be put in order."""

    items: Annotated[
        list[Identifier], Meta(min_length=1, max_length=ITEMS_MAX, description=f"Ids, 1 to {ITEMS_MAX} of them.")
    ]
    user_id: _User = None
    session_id: _Session = None
    recent: _Recents = []
    explain: _Explain = False
    trace: _Trace = False


Q = TypeVar("Q", bound=Struct)

_question_decoder = msgspec.json.Decoder(PostedQuestion)
_ranking_decoder = msgspec.json.Decoder(PostedRanking)


def identifier(text: str, name: str) -> str:
    """Return an id that stands in a path; raises InvalidEventError about the field `name`."""
    try:
        return msgspec.convert(text, Identifier)
    except msgspec.ValidationError as error:
        hint = "Send an id of 1 to 128 characters, none of them a control character."
        raise InvalidEventError("invalid_field", str(error), field=name, hint=hint) from error


def asked_for_user(query: bytes) -> Asked:
    """Return what a query string asks for a shopper, whose id is to be added; raises InvalidEventError."""
    return _kept_user_query(query) if len(query) <= _KEPT_QUERY_BYTES_MAX else _user_query(query)


def asked_for_page(query: bytes, surface: Surface) -> Asked:
    """Return what a query string asks for a page that is the same for all; raises InvalidEventError."""
    wanted = _converted(query, PageQuery)
    return _asked(wanted, surface)._replace(user_id=wanted.user_id, session_id=wanted.session_id)


def asked_in(body: bytes) -> Asked:
    """Return what a body asks; raises MalformedError, InvalidEventError."""
    wanted = _decoded(_question_decoder, body)
    return Asked(
        surface="user" if wanted.user_id else "session",
        user_id=wanted.user_id,
        session_id=wanted.session_id,
        n=wanted.n,
        recent=_recents(wanted.recent),
        category=wanted.category,
        exclude=frozenset(wanted.exclude),
        context=wanted.context,
        changes=wanted,
        explain=wanted.explain,
        trace=wanted.trace,
    )


def ranking_in(body: bytes) -> Asked:
    """Return the items that a body asks to rank, each once; raises MalformedError, InvalidEventError."""
    wanted = _decoded(_ranking_decoder, body)
    item_ids = tuple(dict.fromkeys(wanted.items))
    return Asked(
        surface="rank",
        user_id=wanted.user_id,
        session_id=wanted.session_id,
        n=len(item_ids),
        recent=_recents(wanted.recent),
        item_ids=item_ids,
        explain=wanted.explain,
        trace=wanted.trace,
    )


def _user_query(query: bytes) -> Asked:
    wanted = _converted(query, ShopperQuery)
    asked = _asked(wanted, "user")
    changes = msgspec.structs.replace(asked.changes, exploration=wanted.exploration)
    return asked._replace(context=wanted.context, changes=changes)


_kept_user_query = lru_cache(_KEPT_QUERIES_MAX)(_user_query)


def _asked(wanted: ListQuery, surface: Surface) -> Asked:
    return Asked(
        surface=surface,
        n=wanted.n,
        category=wanted.category,
        exclude=frozenset(item_id for text in wanted.exclude for item_id in text.split(",") if item_id),
        changes=Changes(filters=[condition(text) for text in wanted.filter], diversity=wanted.diversity),
        explain=wanted.explain,
        trace=wanted.trace,
    )


def condition(text: str) -> Condition:
    """Return the condition that a `filter` of a query string states; raises InvalidEventError.

    What reads as a number is met by the number and by the text.
    """
    found = _FILTER.fullmatch(text)
    number = _number(found["value"]) if found else None
    if found is None or (found["sign"] != ":" and number is None):
        raise InvalidEventError("invalid_field", f"{text!r} is no condition", field="filter", hint=_FILTER_HINT)
    value = found["value"]
    if found["sign"] == ":":
        fields: dict[str, Any] = {"any_of": [value] if number is None else [value, number]}
    else:
        fields = {"at_least" if found["sign"] == ">=" else "at_most": number}
    try:
        return msgspec.convert({"attribute": found["attribute"], **fields}, Condition)
    except msgspec.ValidationError as error:
        raise InvalidEventError("invalid_field", str(error), field="filter", hint=_FILTER_HINT) from error


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _recents(recent: Sequence[str | Recent]) -> tuple[Recent, ...]:
    return tuple(each if isinstance(each, Recent) else Recent(item_id=each) for each in recent)


def _converted(query: bytes, kind: type[Q]) -> Q:
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        hint = f"Send at most {_FIELDS_MAX} parameters, in UTF-8."
        raise InvalidEventError("invalid_parameter", str(error), hint=hint) from error
    names = {each.name for each in msgspec.structs.fields(kind)}
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name.startswith(_CONTEXT) and "context" in names:
            given.setdefault("context", {})[name.removeprefix(_CONTEXT)] = value
        elif name in {"exclude", "filter"}:
            given.setdefault(name, []).append(value)
        elif name in given or name == "context":
            hint = "Send it once; context as context.NAME=VALUE."
            raise InvalidEventError("invalid_parameter", f"{name} is not understood", field=name, hint=hint)
        else:
            given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise refused(error, schema_of(kind)) from error


def _decoded(decoder: msgspec.json.Decoder[Q], body: bytes) -> Q:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refused(error, schema_of(decoder.type)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error


@lru_cache
def schema_of(kind: type[Struct]) -> Mapping[str, Any]:
    """Return the JSON Schema of a query or a body."""
    _, schemas = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    schema: Mapping[str, Any] = schemas[kind.__name__]
    return schema
