"""Which role a path needs: one table for every service."""

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """What a key may do."""

    SCORE = "score"
    LABEL = "label"
    ADMIN = "admin"


ROLES_BY_PATH: Mapping[str, Role | None] = {
    "/health": None,
    "/metrics": None,
    "/docs": None,
    "/openapi.json": None,
    "/v1/score": Role.SCORE,
    "/v1/transactions": Role.SCORE,
    "/v1/jobs": Role.SCORE,
    "/v2": Role.SCORE,
    "/v1/labels": Role.LABEL,
    "/v1/interactions": Role.LABEL,
}
"""A path stands for itself and all below it; None is open to everyone."""


def needed_role(roles_by_path: Mapping[str, Role | None], path: str) -> Role | None:
    """Return the role that `path` needs, None where it is open: admin for a path that nobody listed."""
    if path in roles_by_path:
        return roles_by_path[path]
    for listed, role in roles_by_path.items():
        if path.startswith(listed) and path[len(listed)] == "/":
            return role
    return Role.ADMIN


def may(roles: frozenset[Role], needed: Role) -> bool:
    """Tell whether somebody with `roles` may do what needs `needed`; an admin may do everything."""
    return needed in roles or Role.ADMIN in roles
