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
    headrace_scoring_batch_bytes_max: Annotated[
        int, Field(description="Largest body of POST /v1/score/batch; more is answered 413.", ge=1)
    ] = 8_000_000
    headrace_scoring_batch_payments_max: Annotated[
        int, Field(description="Most payments of POST /v1/score/batch; more is answered 422.", ge=1)
    ] = 1_000
    headrace_scoring_outstanding_max: Annotated[
        int, Field(description="Most payments of POST /v1/score in work at once; beyond, 503.", ge=1)
    ] = 1_000
    headrace_scoring_state_seconds_max: Annotated[
        float,
        Field(description="Longest wait of POST /v1/score for Redis; then the fallback answers, degraded.", gt=0),
    ] = 0.25
    headrace_scoring_journal_bytes_max: Annotated[
        int,
        Field(description="Most bytes of payments answered over REST that wait for Kafka on disk; beyond, 503.", ge=1),
    ] = 268_435_456
    headrace_scoring_journal_fsync: Annotated[
        bool,
        Field(
            description="Answer POST /v1/score only once the disk has the answer: it then survives the machine, not "
            "the process alone."
        ),
    ] = False
    headrace_scoring_inference_bytes_max: Annotated[
        int, Field(description="Largest body of POST /v2/models/.../infer; more is answered 413.", ge=1)
    ] = 16_777_216
    headrace_scoring_job_bytes_max: Annotated[
        int, Field(description="Largest file of POST /v1/jobs; more is answered 413.", ge=1)
    ] = 1_073_741_824
    headrace_scoring_jobs_running_max: Annotated[
        int, Field(description="Most files scored at once, each in a process of its own.", ge=1)
    ] = 1
    headrace_scoring_jobs_waiting_max: Annotated[
        int, Field(description="Most files that wait to be scored; beyond, 503.", ge=1)
    ] = 10
    headrace_scoring_job_kept_hours: Annotated[
        float, Field(description="How long the decisions on a file are kept after it was scored.", gt=0)
    ] = 24.0
    headrace_scoring_probing_queries_max: Annotated[
        int,
        Field(description="Payments alike but for the amount that a caller may ask about before it is slowed.", ge=1),
    ] = 10
    headrace_scoring_probing_window_seconds: Annotated[
        float, Field(description="Within how long they count.", gt=0)
    ] = 600.0
    headrace_scoring_probing_delay_seconds_max: Annotated[
        float, Field(description="Longest that such an answer is held back.", ge=0)
    ] = 2.0
    headrace_scoring_history_seconds_max: Annotated[
        float,
        Field(
            description="Longest wait of a recommendation for the shopper's history; then it is as for an unknown one.",
            gt=0,
        ),
    ] = 0.1
    headrace_scoring_recommendation_bytes_max: Annotated[
        int, Field(description="Largest body of POST /v1/recommendations and /v1/rank; more is answered 413.", ge=1)
    ] = RECORD_BYTES_MAX
    headrace_scoring_impressions_waiting_max: Annotated[
        int,
        Field(description="Most impressions that wait for the log; beyond, lists are shown and not on record.", ge=1),
    ] = 10_000
