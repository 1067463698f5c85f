"""Settings of the scoring service."""

from typing import Annotated

from pydantic import Field

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
