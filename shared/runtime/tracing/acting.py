"""For whose sake something is done now: the spans that steps on the way become children of."""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from shared.bus.base import Headers

if TYPE_CHECKING:
    from shared.runtime.tracing.spans import Traced

Kind = Literal["server", "client", "producer", "consumer", "internal"]
Value = str | int | float | bool


class Acting(NamedTuple):
    """What a thread, or a task of an event loop, works on.

    spans: of every sampled call or record in work; most often none. trace_id: of the call, sampled or not.
    """

    spans: "tuple[Traced, ...]" = ()
    trace_id: str | None = None


_NOTHING = Acting()
_NO_STEP = contextlib.nullcontext()
_acting: ContextVar[Acting] = ContextVar("acting", default=_NOTHING)


def acting() -> Acting:
    """Return what is worked on here."""
    return _acting.get()


def spans_by_headers() -> "Mapping[Headers, Traced]":
    """Return the spans of the records that are worked on here, by the headers that those carry."""
    return {span.headers: span for span in _acting.get().spans}


def work_on(spans: "tuple[Traced, ...]") -> None:
    """Have this task work on `spans` until it ends, whatever whoever made it worked on."""
    _acting.set(Acting(spans) if spans else _NOTHING)


@contextlib.contextmanager
def acting_for(spans: "tuple[Traced, ...]", trace_id: str | None = None) -> Iterator[None]:
    """Work on `spans`, and end them; they fail with an exception that passes."""
    token = _acting.set(Acting(spans, trace_id))
    try:
        yield
    except BaseException as error:
        for span in spans:
            span.fail(error)
        raise
    finally:
        _acting.reset(token)
        for span in spans:
            span.end()


def step(
    name: str, attributes: Mapping[str, Value] | None = None, *, kind: Kind = "internal"
) -> contextlib.AbstractContextManager[object]:
    """Return a context that is a span of its own below each one that is worked on; nothing where there is none."""
    spans = _acting.get().spans
    return _Step(tuple(span.child(name, kind, attributes or {}) for span in spans)) if spans else _NO_STEP


class _Step:
    """A part of the work, below every span that is worked on."""

    __slots__ = ("_spans",)

    def __init__(self, spans: "tuple[Traced, ...]") -> None:
        self._spans = spans

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for span in self._spans:
            if error is not None:
                span.fail(error)
            span.end()
