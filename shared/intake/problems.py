"""Why a request, or one event of a batch, was not taken: one tree, turned into HTTP in endpoints.py only."""

from msgspec import Struct

from shared.contracts.codec import shortened


class Problem(Struct, frozen=True, kw_only=True):
    """What was wrong, where, and what to do about it.

    code: short and stable, for programs. field: a path such as `amount` or `events[3].amount`.
    """

    code: str
    message: str
    field: str | None = None
    hint: str | None = None


class IntakeError(Exception):
    """Something was not taken.

    status: of the HTTP answer. retry_after_seconds: set where the same request may succeed later.
    """

    status = 400
    retry_after_seconds: int | None = None

    def __init__(self, code: str, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        place = None if field is None else shortened(field)
        self.problem = Problem(code=code, message=shortened(message), field=place, hint=hint)


class MalformedError(IntakeError):
    """The body is not JSON, or a header is not what it must be."""


class InvalidEventError(IntakeError):
    """JSON, but not the event that the path takes."""

    status = 422


class NotFoundError(IntakeError):
    """Nobody knows what was asked about."""

    status = 404


class TooLargeError(IntakeError):
    """More bytes than one request may have."""

    status = 413


class ConflictError(IntakeError):
    """The Idempotency-Key belongs to another body."""

    status = 409


class AccessError(IntakeError):
    """The caller may not do this, or not now; nothing was taken."""


class UnauthorizedError(AccessError):
    """No key that is known and in force; which of these it was is not told."""

    status = 401


class ForbiddenError(AccessError):
    """The key is in force and lacks the role that this call needs."""

    status = 403


class TooManyError(AccessError):
    """More than the key's events a second."""

    status = 429
    retry_after_seconds: int | None = 1


class NotTakenError(IntakeError):
    """A neighbour is away or busy and nothing of the request was taken."""

    status = 503
    retry_after_seconds = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(
            code,
            f"{message}; nothing was taken",
            hint="Send the same request again after Retry-After seconds, with the same id.",
        )


class UnacknowledgedError(IntakeError):
    """The log did not confirm in time: some, all or none of the request's events are on it."""

    status = 503
    retry_after_seconds = 1

    def __init__(self, message: str) -> None:
        super().__init__(
            "unacknowledged",
            f"{message}; the events may or may not have been taken",
            hint="Send the same request again after Retry-After seconds, with the same id: a repeat changes nothing.",
        )
