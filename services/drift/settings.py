"""Settings of the drift service."""

from typing import Annotated

from pydantic import Field

from shared.runtime.settings import ServiceSettings


class DriftSettings(ServiceSettings):
    """What the drift service needs to know. Days are event time."""

    headrace_drift_window_days: Annotated[
        int,
        Field(
            description="Days a distribution is compared over; whole weeks keep weekends from looking like drift.", ge=1
        ),
    ] = 7
    headrace_drift_window_payments: Annotated[
        int, Field(description="A window with fewer payments than this raises no distribution alarm.", ge=1)
    ] = 2_000
    headrace_drift_psi_threshold: Annotated[
        float, Field(description="Population stability index at which a distribution alarm is raised.", gt=0)
    ] = 0.25
    headrace_drift_recall_slack: Annotated[
        float,
        Field(description="Share of the held-out recall that may be missing before it counts as a fall.", gt=0, lt=1),
    ] = 0.05
    headrace_drift_false_alarm_labels: Annotated[
        int,
        Field(
            description="While recall holds, false alarms are at least this many labelled frauds apart on average.",
            ge=2,
        ),
    ] = 2_000
    headrace_drift_recall_window: Annotated[
        int, Field(description="Matured payments behind the recall and precision that /metrics shows.", ge=1)
    ] = 100
    headrace_drift_label_delay_days: Annotated[
        float, Field(description="A flagged payment with no fraud label after this many days was genuine.", ge=0)
    ] = 7
    headrace_drift_decisions_remembered: Annotated[
        int, Field(description="Newest decisions kept in memory, to be joined to their late labels.", ge=1)
    ] = 200_000
    headrace_drift_cooldown_seconds: Annotated[
        float, Field(description="After asking for a new model, wait this long before asking again.", ge=0)
    ] = 600
    headrace_drift_retrain_on_distribution: Annotated[
        bool, Field(description="Ask for a new model on a distribution alarm too, before any harm is known.")
    ] = False
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
    headrace_drift_false_alarm_lists: Annotated[
        int,
        Field(description="While click-through holds, false alarms are at least this many lists apart.", ge=2),
    ] = 20_000
    headrace_drift_click_through_window: Annotated[
        int, Field(description="Lists behind the click-through that /metrics shows.", ge=1)
    ] = 1_000
    headrace_drift_lists_remembered: Annotated[
        int, Field(description="Lists waiting for clicks that are kept in memory, about a kilobyte each.", ge=1)
    ] = 50_000
