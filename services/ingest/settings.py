"""Settings of ingest."""

from typing import Annotated

from pydantic import Field, model_validator

from shared.bus.base import RECORD_BYTES_MAX
from shared.runtime.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """What ingest needs to know."""

    headrace_ingest_batch_events_max: Annotated[
        int, Field(description="Most events in one batch request; more is answered 422.", ge=1)
    ] = 1_000
    headrace_ingest_event_bytes_max: Annotated[
        int, Field(description="Largest body of a request with one event; more is answered 413.", ge=1)
    ] = RECORD_BYTES_MAX
    headrace_ingest_batch_bytes_max: Annotated[
        int, Field(description="Largest body of a batch request; more is answered 413.", ge=1)
    ] = 8_000_000
    headrace_ingest_outstanding_max: Annotated[
        int, Field(description="Most events waiting for the log to acknowledge them; beyond, 503.", ge=1)
    ] = 20_000
    headrace_ingest_acknowledge_seconds_max: Annotated[
        float, Field(description="Longest wait for the log to acknowledge a request's events; then 503.", gt=0)
    ] = 15.0
    headrace_ingest_idempotency_hours: Annotated[
        float, Field(description="How long an Idempotency-Key is remembered.", gt=0)
    ] = 24.0

    @model_validator(mode="after")
    def _a_batch_must_fit(self) -> "IngestSettings":
        if self.headrace_ingest_outstanding_max < self.headrace_ingest_batch_events_max:
            raise ValueError("HEADRACE_INGEST_OUTSTANDING_MAX must be at least HEADRACE_INGEST_BATCH_EVENTS_MAX")
        return self
