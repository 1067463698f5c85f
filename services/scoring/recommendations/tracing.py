"""What each stage of building a list removed or moved, and why: the answer to `trace`."""

from collections.abc import Sequence

from msgspec import Struct

ENTRIES_MAX = 100
"""Removed or moved items that a stage names; the totals count all of them."""


class Removed(Struct, frozen=True, kw_only=True):
    """An item that a stage took out."""

    item_id: str
    why: str


class Moved(Struct, frozen=True, kw_only=True, rename={"origin": "from", "place": "to"}):
    """An item that a stage gave another place; places count from 0, -1 is none."""

    item_id: str
    origin: int
    place: int
    why: str


class Stage(Struct, frozen=True, kw_only=True):
    """One step on the way from the candidates to the answer; `kept` items went on to the next."""

    name: str
    kept: int
    removed_total: int = 0
    removed: list[Removed] = []
    moved_total: int = 0
    moved: list[Moved] = []


def stage(name: str, kept: int, *, removed: Sequence[Removed] = (), moved: Sequence[Moved] = ()) -> Stage:
    """Return a stage that names at most ENTRIES_MAX of the items it removed, and of those it moved."""
    return Stage(
        name=name,
        kept=kept,
        removed_total=len(removed),
        removed=list(removed[:ENTRIES_MAX]),
        moved_total=len(moved),
        moved=list(moved[:ENTRIES_MAX]),
    )
