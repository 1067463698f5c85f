"""How arithmetic is compiled, and where the compiled code is kept."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parent


def _digest() -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_PACKAGE.glob("*.py")))).hexdigest()[:16]


# A kernel is compiled together with those it calls, and numba looks only at its own file for changes: an old one would
# go on with the arithmetic of before. So code compiled from other sources lies in another folder.
if not numba.config.CACHE_DIR:
    numba.config.CACHE_DIR = str(_PACKAGE / "__pycache__" / f"kernels-{_digest()}")


def kernel(function: F) -> F:
    """Compile `function` when it is first called, or load what an earlier process compiled; it releases the GIL."""
    return cast("F", numba.njit(cache=True, nogil=True)(function))
