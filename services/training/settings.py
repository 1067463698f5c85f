"""Settings of the training service."""

from typing import Annotated, Literal

from pydantic import Field

from shared.runtime.settings import ServiceSettings


class TrainingSettings(ServiceSettings):
    """What the training service needs to know. Days are event time."""

    headrace_training_label_delay_days: Annotated[
        float,
        Field(description="A payment is trained on once it is this old; without a label it is genuine then.", ge=0),
    ] = 7.0
    headrace_training_window_days: Annotated[
        float, Field(description="How many days of matured payments are trained on, the newest first.", gt=0)
    ] = 90.0
    headrace_training_holdout_fraction: Annotated[
        float, Field(description="Share of the payments, the latest, that a model is measured on.", gt=0, lt=1)
    ] = 0.2
    headrace_training_rows_min: Annotated[
        int, Field(description="With fewer matured payments no model is trained.", ge=2)
    ] = 1_000
    headrace_training_frauds_min: Annotated[
        int, Field(description="With fewer matured frauds no model is trained.", ge=2)
    ] = 10
    headrace_training_tolerance: Annotated[
        float,
        Field(
            description="A new model goes live unless its average precision is more than this below the champion's; "
            "0.05 is about one standard error with a hundred held-out frauds.",
            ge=0,
        ),
    ] = 0.05
    headrace_training_forest_trees: Annotated[int, Field(description="Trees of the random forest.", ge=1)] = 100
    headrace_training_forest_leaf_rows_min: Annotated[int, Field(description="Fewest payments in a leaf.", ge=1)] = 2
    headrace_training_forest_depth_max: Annotated[
        int | None, Field(description="Deepest path of a tree; unset for no bound.", ge=1)
    ] = None
    headrace_training_forest_sample_fraction: Annotated[
        float, Field(description="Share of the payments that each tree is grown on.", gt=0, le=1)
    ] = 0.2
    headrace_training_forest_class_weight: Annotated[
        Literal["none", "balanced", "balanced_subsample"],
        Field(description="How frauds are weighted; none keeps scores close to probabilities."),
    ] = "none"
    headrace_training_jobs: Annotated[int, Field(description="Threads that train; -1 takes every core.", ge=-1)] = -1
    headrace_training_archive_batch_records: Annotated[
        int, Field(description="Most records archived at once.", ge=1)
    ] = 20_000
    headrace_training_archive_linger_seconds: Annotated[
        float, Field(description="How long records are gathered for one set of Parquet files.", ge=0)
    ] = 1.0
    headrace_parity_interval_seconds: Annotated[
        float, Field(description="How long until served vectors are compared with the archive again.", gt=0)
    ] = 300.0
    headrace_parity_sample: Annotated[
        int, Field(description="Most vectors compared each time, the newest first.", ge=1)
    ] = 200
