"""Settings of the drift service."""

from typing import Annotated

from pydantic import Field

from shared.runtime.settings import ServiceSettings


class DriftSettings(ServiceSettings):
    """What the drift service needs to know. Days are event time."""

    headrace_drift_needless_retrainings_a_quarter: Annotated[
        float,
        Field(
            description="The one budget: of everything watched about a model, so many false alarms a quarter (event "
            "time) are acceptable, and so many needless retrainings at most.",
            gt=0,
        ),
    ] = 1.0
    headrace_drift_psi_min: Annotated[
        float,
        Field(description="A distribution that moved by less (population stability index) is never alarmed.", ge=0),
    ] = 0.1
    headrace_drift_day_payments_min: Annotated[
        int, Field(description="A day with fewer payments is judged together with the days after it.", ge=1)
    ] = 200
    headrace_drift_recall_slack: Annotated[
        float,
        Field(description="Share of the held-out recall that may be missing before it counts as a fall.", ge=0, lt=1),
    ] = 0.05
    headrace_drift_label_delay_days: Annotated[
        float, Field(description="A payment with no fraud label after this many days was genuine.", ge=0)
    ] = 7
    headrace_drift_payments_remembered: Annotated[
        int,
        Field(
            description="Payments kept in memory until their labels are known. Where more than these wait, a sample "
            "drawn by payment is kept, and judged by.",
            ge=1_000,
        ),
    ] = 200_000
    headrace_drift_recall_window: Annotated[
        int, Field(description="Labelled payments behind the recall and precision that are shown.", ge=1)
    ] = 500
    headrace_drift_fresh_frauds_min: Annotated[
        int,
        Field(
            description="No new model is asked for before so many frauds, labelled since the change began, can teach "
            "it something.",
            ge=0,
        ),
    ] = 30
    headrace_drift_cooldown_seconds: Annotated[
        float,
        Field(
            description="After asking for a new model, wait this long before asking again; twice as long after each "
            "request in a row that brought none.",
            ge=0,
        ),
    ] = 600
    headrace_drift_answer_seconds_max: Annotated[
        float,
        Field(description="A request for a new model that training does not answer for so long is given up.", gt=0),
    ] = 86_400
    headrace_drift_retrain_on_data: Annotated[
        bool, Field(description="Ask for a new model when what comes in has changed, before any harm is known.")
    ] = False
    headrace_drift_checkpoint_seconds: Annotated[
        float, Field(description="How often what was learnt is written to disk; a crash loses no more.", gt=0)
    ] = 30
    headrace_drift_click_window_seconds: Annotated[
        float, Field(description="A list of recommendations that is not clicked for so long was not clicked.", gt=0)
    ] = 1_800
    headrace_drift_baseline_lists: Annotated[
        int,
        Field(description="Lists that a recommender is shown with first, which tell how often they are clicked.", ge=1),
    ] = 2_000
    headrace_drift_baseline_hours: Annotated[
        float, Field(description="These lists cover so many hours at least: shoppers click by the time of day.", ge=0)
    ] = 24
    headrace_drift_click_through_fall: Annotated[
        float, Field(description="Part of the click-through whose loss is looked for.", gt=0, lt=1)
    ] = 0.25
    headrace_drift_click_through_window: Annotated[
        int, Field(description="Lists behind the click-through that /metrics shows.", ge=1)
    ] = 1_000
    headrace_drift_lists_remembered: Annotated[
        int, Field(description="Lists waiting for clicks that are kept in memory, about a kilobyte each.", ge=1)
    ] = 50_000
