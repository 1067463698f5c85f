"""The model in service, and the worker that follows the `models` topic to keep it the one in force."""

import logging
import threading
from typing import Protocol

from shared.bus.base import Bus, BusUnavailableError, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS, TOPICS
from shared.models.lineage import puts_in_force
from shared.models.manifest import Manifest
from shared.models.packages import ModelIntegrityError
from shared.models.registry import RegistryUnavailableError
from shared.models.session import OnnxModel
from shared.runtime import metrics
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2


class Models(Protocol):
    """Where versions are loaded from: the registry, or the packages on this machine alone."""

    def load(
        self, model_name: str, version: int, *, digest: str | None, manifest_digest: str | None
    ) -> tuple[Manifest, bytes]:
        """Return a version's manifest and ONNX bytes.

        Raises:
            ModelIntegrityError: missing, or not the announced bytes.
            RegistryUnavailableError: it is not on this machine, and the registry does not answer.
        """
        ...


class Champion:
    """Follows `models`; a version that is promoted or rolled back to takes over between two batches.

    It is loaded and checked in full before. Whatever else is announced about a model changes nothing here.
    A version that cannot be loaded never becomes visible: the one before stays, a metric tells, and it is tried again.
    """

    name = "champion"

    def __init__(self, bus: Bus, models: Models, *, model_name: str, retry_seconds: float) -> None:
        self._bus = bus
        self._models = models
        self._model_name = model_name
        self._retry_seconds = retry_seconds
        self._in_force: ModelEvent | None = None
        self._caught_up = False
        self.model: OnnxModel | None = None

    def problem(self) -> str | None:
        return None if self._caught_up else "the models topic has not been read yet"

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(stop)
            except BusUnavailableError as error:
                log.warning("champion waits: %s", error)
                stop.wait(1.0)

    def _follow(self, stop: threading.Event) -> None:
        self._bus.create_topics(TOPICS)
        tail = self._bus.tail([MODELS.name], start="oldest")
        try:
            while not stop.is_set():
                for record in tail.poll(wait_seconds=_POLL_SECONDS):
                    self._note(record)
                if tail.caught_up():
                    # Only the version in force counts, so nothing is loaded before the topic's end is reached.
                    if not self._in_service() and not self._load():
                        stop.wait(self._retry_seconds)
                    self._caught_up = True
        finally:
            tail.close()

    def _note(self, record: Record) -> None:
        try:
            event = codec.decode_record(MODELS, record.key, record.value)
        except BadRecordError as error:
            metrics.DEAD_LETTERS.labels("scoring", MODELS.name, error.error).inc()
            log.error("a record on models was ignored: %s", error, **fields(offset=record.offset))  # noqa: TRY400
            return
        if isinstance(event, ModelEvent) and puts_in_force(event, self._model_name):
            self._in_force = event

    def _in_service(self) -> bool:
        if self._in_force is None:
            return True
        return self.model is not None and self.model.manifest.model_version == self._in_force.model_version

    def _load(self) -> bool:
        """Put the version in force into service; tell whether that worked."""
        event = self._in_force
        if event is None:
            return True
        try:
            manifest, onnx = self._models.load(
                event.model_name,
                event.model_version,
                digest=event.model_digest,
                manifest_digest=event.manifest_digest,
            )
            self.model = OnnxModel(manifest, onnx)
        except (ModelIntegrityError, RegistryUnavailableError, ValueError) as error:
            metrics.MODEL_LOAD_FAILURES.labels(event.model_name).inc()
            log.error("version %d stays out of service: %s", event.model_version, error)  # noqa: TRY400
            return False
        metrics.MODEL_VERSION.labels(event.model_name).set(event.model_version)
        log.info("version %d is in service", event.model_version, **fields(trace_id=event.trace_id))
        return True
