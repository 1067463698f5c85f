"""API keys: how they look, what is kept of them, and the file they are kept in.

A key is `hr_<id>_<secret>`. Of the secret only its SHA-256 is kept: a slow hash protects passwords that can be guessed,
and 256 random bits cannot.
"""

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from shared.access.roles import Role
from shared.contracts.fields import Digest, Identifier, Instant

PREFIX = "hr"
_ID_BYTES = 6
_SECRET_BYTES = 32


class KeysFileError(Exception):
    """The keys file cannot be read or written, or does not hold what was asked for."""


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of one key; the secret itself is not.

    rate_per_second: how many events a second it may send to each process of a service.
    """

    key_id: Annotated[str, Meta(pattern="^[0-9a-f]{12}$", max_length=12)]
    name: Identifier
    roles: Annotated[frozenset[Role], Meta(min_length=1)]
    rate_per_second: Annotated[int, Meta(ge=1, le=1_000_000)]
    created_at: Instant
    revoked_at: Instant | None = None
    secret_sha256: Digest

    def is_secret(self, secret: str) -> bool:
        """Tell whether `secret` is this key's, in a time that does not depend on where they differ."""
        return hmac.compare_digest(_digest(secret), self.secret_sha256)


class KeysFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    keys: list[Key] = []


class Presented(NamedTuple):
    """A key as a caller presents it."""

    key_id: str
    secret: str


def presented(text: str) -> Presented | None:
    """Return the parts of a key; None when it is not of its form."""
    parts = text.split("_", 2)
    return Presented(parts[1], parts[2]) if len(parts) == 3 and parts[0] == PREFIX else None


def new_key(name: str, roles: frozenset[Role], *, rate_per_second: int, now: datetime) -> tuple[Key, str]:
    """Return a new key and its text, which nothing else can tell afterwards."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    key = Key(
        key_id=secrets.token_hex(_ID_BYTES),
        name=name,
        roles=roles,
        rate_per_second=rate_per_second,
        created_at=now,
        secret_sha256=_digest(secret),
    )
    return key, f"{PREFIX}_{key.key_id}_{secret}"


def revoked(keys: Sequence[Key], key_id: str, *, now: datetime) -> list[Key]:
    """Return `keys` with one of them revoked.

    Raises:
        KeysFileError: there is no such key, or it is revoked already.
    """
    found = next((key for key in keys if key.key_id == key_id), None)
    if found is None:
        raise KeysFileError(f"there is no key {key_id}: see `headrace keys list`")
    if found.revoked_at is not None:
        raise KeysFileError(f"key {key_id} was revoked at {found.revoked_at.isoformat(timespec='seconds')} already")
    gone = msgspec.structs.replace(found, revoked_at=now)
    return [gone if key is found else key for key in keys]


def read_keys(path: Path) -> list[Key] | None:
    """Return the keys in the file, the revoked among them; None when there is no file.

    Raises:
        KeysFileError: it cannot be read, or is not a keys file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeysFile).keys
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise KeysFileError(f"{path} cannot be read as a keys file: {error}") from error


def change_keys(path: Path, change: Callable[[list[Key]], list[Key]]) -> None:
    """Replace what the file holds by `change` of it, whole or not at all; only one process at a time does.

    Raises:
        KeysFileError: the file cannot be read or written; whatever `change` raises.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise KeysFileError(f"{path} cannot be written: {error}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        _write(path, _encoded(change(read_keys(path) or [])))
        os.fsync(folder)
    except OSError as error:
        raise KeysFileError(f"{path} cannot be written: {error}") from error
    finally:
        os.close(folder)


def _encoded(keys: list[Key]) -> bytes:
    content = msgspec.json.encode(KeysFile(keys=keys), order="sorted")
    try:
        msgspec.json.decode(content, type=KeysFile)
    except msgspec.ValidationError as error:
        raise KeysFileError(f"no such key can be kept: {error}") from error
    return msgspec.json.format(content)


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    # Left by a process of the same id that was killed.
    aside.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
