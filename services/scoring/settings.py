"""Settings of the scoring service."""

from typing import Annotated

from pydantic import Field

from shared.bus.base import RECORD_BYTES_MAX
from shared.contracts.events import Verdict
from shared.runtime.settings import ServiceSettings


class ScoringSettings(ServiceSettings):
    """What the scoring service needs to know."""

    headrace_scoring_batch_records: Annotated[
        int, Field(description="Most vectors decided in one Kafka transaction.", ge=1)
    ] = 500
    headrace_scoring_fallback: Annotated[
        Verdict, Field(description="The decision, marked degraded, while no model is in service: approve or review.")
    ] = "approve"
    headrace_scoring_model_retry_seconds: Annotated[
        float, Field(description="How long after a model failed to load it is tried again.", gt=0)
    ] = 5.0
    headrace_scoring_body_bytes_max: Annotated[
        int, Field(description="Largest body of POST /v1/score; more is answered 413.", ge=1)
    ] = RECORD_BYTES_MAX
    headrace_scoring_outstanding_max: Annotated[
        int, Field(description="Most payments of POST /v1/score waiting for the log; beyond, 503.", ge=1)
    ] = 1_000
    headrace_scoring_acknowledge_seconds_max: Annotated[
        float, Field(description="Longest wait of POST /v1/score for the log; then 503.", gt=0)
    ] = 5.0
