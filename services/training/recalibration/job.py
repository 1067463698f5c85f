"""The worker that looks at the champion's calibration, again and again."""

import logging
import threading
from datetime import date

from services.training.recalibration.recalibrator import ACTOR, Recalibrator
from services.training.refusal import RefusedError
from services.training.releases import Order
from shared.bus.base import BusUnavailableError
from shared.contracts.events import ModelEvent
from shared.models.packages import ModelIntegrityError
from shared.models.registry import RegistryUnavailableError
from shared.runtime.clock import Clock
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

_REASON = "fresh labels speak for it"


class RecalibrationJob:
    """Recalibrates the champion as soon as that is surely better; why it is not is logged once."""

    name = "recalibration"

    def __init__(self, recalibrator: Recalibrator, clock: Clock, *, interval_seconds: float) -> None:
        """Wire the worker; interval_seconds: 0 never looks."""
        self._recalibrator = recalibrator
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._told = ""
        self._looked: tuple[str, date] | None = None

    def problem(self) -> str | None:
        """Recalibration keeps nobody from working."""
        return None

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval_seconds or None):
            self.look()

    def look(self) -> list[ModelEvent]:
        """Look once, if labels of another day have come since; return what was announced."""
        try:
            horizon = self._recalibrator.horizon()
            if horizon == self._looked:
                return []
            announced = self._announced(horizon)
        except RefusedError as refusal:
            self._tell(refusal.code, str(refusal))
            return []
        except (ModelIntegrityError, RegistryUnavailableError, BusUnavailableError) as error:
            self._tell("unavailable", str(error))
            return []
        self._told = ""
        about = fields(version=announced[-1].model_version, trace_id=announced[-1].trace_id)
        log.info("recalibrated: %s", announced[-1].reason, **about)
        return announced

    def _announced(self, horizon: tuple[str, date]) -> list[ModelEvent]:
        try:
            candidate = self._recalibrator.candidate()
        except RefusedError:
            self._looked = horizon
            raise
        return self._recalibrator.release(candidate, Order(ACTOR, _REASON, self._clock.now()))

    def _tell(self, code: str, reason: str) -> None:
        if reason != self._told:
            log.info("not recalibrated: %s", reason, **fields(code=code))
        self._told = reason
