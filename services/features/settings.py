"""Settings of the features service."""

from typing import Annotated

from pydantic import Field

from shared.runtime.settings import ServiceSettings


class FeaturesSettings(ServiceSettings):
    """What the features service needs to know."""

    headrace_features_batch_records: Annotated[
        int, Field(description="Most records handled in one Kafka transaction.", ge=1)
    ] = 500
    headrace_features_history_days: Annotated[
        float, Field(description="How long a shopper's history is kept after the last interaction.", gt=0)
    ] = 180.0
