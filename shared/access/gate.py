"""The gate in front of every service: who calls, whether they may, and whether not too often."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.access.keyring import Keyring
from shared.access.keys import Key, new_key, presented
from shared.access.rates import EventRates
from shared.access.roles import Needed, Role, may, needed_role
from shared.contracts.codec import EARLIEST
from shared.intake.http import refusal
from shared.intake.problems import AccessError, ForbiddenError, TooManyError, UnauthorizedError
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.settings import ServiceSettings

_BEARER = b"bearer "
_CALLER = "caller"


class Caller(NamedTuple):
    """Whose key a request carries; no secret."""

    key_id: str
    name: str


OPEN = Caller("open", "open")
"""Everybody, where there are no keys."""


_NOBODY, _ = new_key("nobody", frozenset(), rate_per_second=1, now=EARLIEST)


class Gate:
    """Admits callers by their keys; costs a few microseconds a call, and never waits.

    For one thread at a time; what it tells of itself may be asked from any.
    """

    def __init__(self, keyring: Keyring, *, keys_required: bool) -> None:
        """Wire it; without any keys file it admits everybody, or nobody where keys are required."""
        self._keyring = keyring
        self._keys_required = keys_required
        self._rates = EventRates()

    def lacks_keys(self) -> bool:
        """Tell whether there has never been a keys file."""
        return self._keyring.keys() is None

    def is_open(self) -> bool:
        """Tell whether everybody is admitted."""
        return self.lacks_keys() and not self._keys_required

    def problem(self) -> str | None:
        """Tell in one line why nobody, or not everybody who should be, is admitted; None when all is well."""
        if self.lacks_keys() and self._keys_required:
            return "keys are required and there are none: `headrace keys create` makes one"
        return self._keyring.problem()

    def admit(self, headers: Sequence[tuple[bytes, bytes]], *, role: Role, events: int = 1) -> Caller:
        """Return who calls, once they may do what needs `role`, with so many events counted against their rate.

        headers: names in lower case, as ASGI gives them.

        Raises:
            UnauthorizedError: no key, or none that is in force.
            ForbiddenError: the key has not this role.
            TooManyError: more events than the key may send a second.
        """
        keys = self._keyring.keys()
        if keys is None and not self._keys_required:
            return OPEN
        key = _key_in_force(keys or {}, headers)
        if key is None:
            metrics.REFUSED_CALLS.labels("unauthorized", "").inc()
            raise UnauthorizedError(
                "unauthorized",
                "this call needs an API key that is in force",
                hint="Send it as `Authorization: Bearer hr_...` or `X-API-Key: hr_...`.",
            )
        if not may(key.roles, role):
            metrics.REFUSED_CALLS.labels("forbidden", key.name).inc()
            raise ForbiddenError(
                "forbidden",
                f"this call needs a key with the role {role}",
                hint=f"`headrace keys create --role {role}` makes one.",
            )
        self._spend(key, events)
        return Caller(key.key_id, key.name)

    def admit_batch(self, caller: Caller, events: int) -> None:
        """Count the events of a request that was admitted as one, now that it is read and they are known.

        Raises:
            UnauthorizedError: the key was revoked meanwhile.
            TooManyError: more events than the key may send a second.
        """
        if caller == OPEN or events <= 1:
            return
        key = (self._keyring.keys() or {}).get(caller.key_id)
        if key is None:
            raise UnauthorizedError("unauthorized", "the API key was revoked")
        self._spend(key, events, counted=1)

    def _spend(self, key: Key, events: int, *, counted: int = 0) -> None:
        fits = events <= key.rate_per_second
        if fits and self._rates.spend(key.key_id, events - counted, per_second=key.rate_per_second):
            return
        metrics.REFUSED_CALLS.labels("too_many", key.name).inc()
        raise _too_many(key, events)


def gate_for(settings: ServiceSettings, clock: Clock) -> Gate:
    """Return the gate that the settings ask for; bound to more than this machine it is open only where they say so."""
    required = settings.headrace_keys_required
    return Gate(
        Keyring(settings.keys_file, clock),
        keys_required=not settings.is_loopback if required is None else required,
    )


def guarded(app: ASGIApp, gate: Gate, roles_by_path: Mapping[str, Needed]) -> ASGIApp:
    """Return an app that admits every call before `app` sees it, so that no path can be forgotten.

    A path that `roles_by_path` does not list, itself or one above it, needs an admin. Whom it admitted the app learns
    from `caller_of`; one event is counted then.
    """

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        # What is not HTTP has no method, and so counts as writing.
        role = needed_role(roles_by_path, scope["path"], scope.get("method", ""))
        if role is not None:
            try:
                caller = gate.admit(scope["headers"], role=role)
            except AccessError as error:
                await _refusal(error)(scope, receive, send)
                return
            scope.setdefault("state", {})[_CALLER] = caller
        await app(scope, receive, send)

    return guard


def caller_of(scope: Scope) -> Caller:
    """Return who was admitted to this request; raises KeyError where nobody guards the app."""
    caller: Caller = scope["state"][_CALLER]
    return caller


def _refusal(error: AccessError) -> Response:
    answer = refusal(error)
    if isinstance(error, UnauthorizedError):
        # RFC 9110, 15.5.2: a 401 names the scheme.
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _key_in_force(keys: Mapping[str, Key], headers: Sequence[tuple[bytes, bytes]]) -> Key | None:
    text = _text_of(headers)
    parts = presented(text) if text else None
    if parts is None:
        return None
    key = keys.get(parts.key_id)
    # Somebody without a key learns nothing from the time this takes: an unknown id is compared as well.
    is_secret = (key or _NOBODY).is_secret(parts.secret)
    return key if is_secret else None


def _text_of(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return value[len(_BEARER) :].strip().decode("latin-1")
        if name == b"x-api-key":
            return value.strip().decode("latin-1")
    return None


def _too_many(key: Key, events: int) -> TooManyError:
    limit = f"this key may send {key.rate_per_second} events a second"
    if events > key.rate_per_second:
        error = TooManyError(
            "batch_beyond_rate",
            f"{limit}, fewer than this one request",
            hint=f"Send batches of at most {key.rate_per_second} events.",
        )
        error.retry_after_seconds = None
        return error
    return TooManyError("too_many", limit, hint="Send it again after Retry-After seconds.")
