"""Keeps what one detector does wrong from the others."""

import logging
from collections.abc import Callable
from typing import TypeVar

from shared.runtime import metrics

log = logging.getLogger(__name__)

T = TypeVar("T")


class Isolation:
    """Runs detectors by the name of their family; one that raises an exception is not run again."""

    def __init__(self) -> None:
        """Start with none lost."""
        self.lost: dict[str, str] = {}

    def run(self, family: str, act: Callable[[], T], otherwise: T) -> T:
        """Return what `act` does; `otherwise`, where it raises or the family is lost already."""
        if family in self.lost:
            return otherwise
        try:
            return act()
        except Exception as error:
            self.lost[family] = f"{type(error).__name__}: {error}"
            metrics.DRIFT_DETECTOR_FAILURES.labels(family).inc()
            log.exception("the detector %s fails and is taken out; the others watch on", family)
            return otherwise

    def told(self) -> list[str]:
        """Tell which families are lost, and why."""
        return [
            f"{family}: taken out after an error, until the service is restarted or another version in force ({why})"
            for family, why in self.lost.items()
        ]
