"""Which role a call needs: one table for every service."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """What a key may do."""

    SCORE = "score"
    LABEL = "label"
    RECOMMEND = "recommend"
    CATALOGUE = "catalogue"
    ADMIN = "admin"


class ByMethod(NamedTuple):
    """Roles of a path that one party reads and another writes; GET and HEAD read."""

    reading: Role
    writing: Role


Needed = Role | ByMethod | None
"""What a path needs; None: nothing, it is open to everyone."""

_READING = frozenset({"GET", "HEAD"})
_CATALOGUE = ByMethod(reading=Role.RECOMMEND, writing=Role.CATALOGUE)

ROLES_BY_PATH: Mapping[str, Needed] = {
    "/health": None,
    "/metrics": None,
    "/docs": None,
    "/openapi.json": None,
    "/v1/score": Role.SCORE,
    "/v1/transactions": Role.SCORE,
    "/v1/jobs": Role.SCORE,
    "/v2": Role.SCORE,
    "/v1/labels": Role.LABEL,
    "/v1/interactions": Role.RECOMMEND,
    "/v1/recommendations": Role.RECOMMEND,
    "/v1/popular": Role.RECOMMEND,
    "/v1/trending": Role.RECOMMEND,
    "/v1/rank": Role.RECOMMEND,
    "/v1/items": _CATALOGUE,
    "/v1/users": _CATALOGUE,
    "/v1/drift": Role.ADMIN,
}
"""A path stands for itself and all below it."""


def needed_role(roles_by_path: Mapping[str, Needed], path: str, method: str) -> Role | None:
    """Return the role that a call needs, None where it is open: admin for a path that nobody listed.

    method: of HTTP, in capitals.
    """
    needed = _listed(roles_by_path, path)
    if isinstance(needed, ByMethod):
        return needed.reading if method in _READING else needed.writing
    return needed


def _listed(roles_by_path: Mapping[str, Needed], path: str) -> Needed:
    if path in roles_by_path:
        return roles_by_path[path]
    for listed, needed in roles_by_path.items():
        if path.startswith(listed) and path[len(listed)] == "/":
            return needed
    return Role.ADMIN


def may(roles: frozenset[Role], needed: Role) -> bool:
    """Tell whether somebody with `roles` may do what needs `needed`; an admin may do everything."""
    return needed in roles or Role.ADMIN in roles
