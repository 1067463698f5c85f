"""Records that were rejected and not sent back."""

import contextlib
from collections.abc import Callable, Sequence

from services.local.checks.finding import Area, Finding
from services.local.dead_letters import waiting_counts
from shared.bus.base import Bus, BusUnavailableError


def check_rejected(area: Area, open_bus: Callable[[], Bus]) -> Sequence[Finding]:
    """Count what waits on the dead-letter topics."""
    try:
        with contextlib.closing(open_bus()) as bus:
            waiting = waiting_counts(bus)
    except BusUnavailableError:
        return [area.not_checked("waiting", "the log does not answer, or lacks topics")]
    counts = {topic: count for topic, count in waiting.items() if count}
    if counts:
        told = ", ".join(f"{topic} {count}" for topic, count in counts.items())
        return [area.warning("waiting", f"rejected, and not sent back: {told}", "`headrace dlq list`")]
    return [area.ok("waiting", "nothing rejected waits to be sent back")]
