"""Which commit of the code a model was trained by."""

import functools
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@functools.cache
def code_commit() -> str | None:
    """Return the commit of this folder's repository, with `-dirty` where files differ; None where there is none."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],  # noqa: S607 - whichever git
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
