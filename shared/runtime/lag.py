"""How far behind a reader is, in time."""

from collections.abc import Iterable
from datetime import datetime

from shared.bus.base import Standing


def lag_seconds(standing: Iterable[Standing], now: datetime) -> float:
    """Return how long ago the newest record read was produced, in the partition that is furthest behind.

    0 where nothing waits. A partition that nothing was read from yet tells nothing.
    """
    behind_ms = [each.newest_ms for each in standing if each.waiting_records and each.newest_ms is not None]
    return max(0.0, now.timestamp() * 1000 - min(behind_ms)) / 1000 if behind_ms else 0.0
