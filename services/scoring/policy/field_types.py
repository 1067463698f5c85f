"""What a document's type says of its fields: the names, the words, the form that a value must have."""

import re
from collections.abc import Iterator

import msgspec
from msgspec import inspect

_STEP = re.compile(r"\.(\w+)|\[[^]]*\]")


def names_at(document_type: type[msgspec.Struct], path: str) -> list[str]:
    """Return the names of the fields that the object has to which `path` leads, such as `$.rules[2]`."""
    structs = (kind for kind in _at(document_type, path) if isinstance(kind, inspect.StructType))
    return [field.name for struct in structs for field in struct.fields]


def words_at(document_type: type[msgspec.Struct], path: str) -> list[str]:
    """Return the words that a field may be; none where it is no choice of words."""
    return [
        str(word) for kind in _at(document_type, path) if isinstance(kind, inspect.LiteralType) for word in kind.values
    ]


def description_at(document_type: type[msgspec.Struct], path: str) -> str | None:
    """Return how the value that `path` leads to is described; None where it is not."""
    for kind in _at(document_type, path):
        if isinstance(kind, inspect.Metadata) and kind.extra_json_schema:
            return kind.extra_json_schema.get("description")
    return None


def _at(document_type: type[msgspec.Struct], path: str) -> list[inspect.Type]:
    """Return what may stand where `path` leads to."""
    found = [inspect.type_info(document_type)]
    for name in _STEP.findall(path):
        every = [each for kind in found for each in _alternatives(kind)]
        if name:
            structs = [each for each in every if isinstance(each, inspect.StructType)]
            found = [field.type for struct in structs for field in struct.fields if field.name == name]
        else:
            found = [each.item_type for each in every if isinstance(each, inspect.CollectionType)]
    return [each for kind in found for each in _alternatives(kind)]


def _alternatives(kind: inspect.Type) -> Iterator[inspect.Type]:
    """Yield a type and all that it may stand for."""
    yield kind
    if isinstance(kind, inspect.Metadata):
        yield from _alternatives(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _alternatives(each)
