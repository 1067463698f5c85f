"""Settings of the training service."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat

from shared.runtime.settings import ServiceSettings

Kind = Literal["view", "cart", "purchase", "like", "dislike"]

_KIND_WEIGHTS: dict[Kind, float] = {"view": 1.0, "cart": 2.0, "purchase": 4.0, "like": 4.0}


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
    headrace_training_slices: Annotated[
        int,
        Field(
            description="Those payments are cut into so many periods, each scored by a model of all before it.", ge=1
        ),
    ] = 4
    headrace_training_families: Annotated[
        str,
        Field(
            description="Kinds of model that are tried, comma separated: gradient_boosting, random_forest, "
            "extra_trees, decision_tree, logistic_l1, logistic_l2, multilayer_perceptron, soft_voting, stacking, "
            "self_training, isolation_forest, segment_distance."
        ),
    ] = "gradient_boosting,random_forest,logistic_l2"
    headrace_training_start: Annotated[
        Literal["scratch", "champion"],
        Field(description="Train anew, or carry the champion on with the payments that are new to it."),
    ] = "scratch"
    headrace_training_segment: Annotated[
        str | None,
        Field(
            description="Payments, as country=DE, for which the model is carried on by itself; the others are scored "
            "by the model of all.",
            pattern=r"^[a-z_]+=.+$",
        ),
    ] = None
    headrace_training_search_seconds: Annotated[
        float,
        Field(description="No candidate is tried after so long; 0 takes the champion's, or the first kind.", ge=0),
    ] = 60.0
    headrace_training_candidates_max: Annotated[int, Field(description="Most candidates that are tried.", ge=1)] = 20
    headrace_training_folds: Annotated[
        int, Field(description="Periods that candidates are compared on, a label delay after their training.", ge=1)
    ] = 3
    headrace_training_jobs: Annotated[int, Field(description="Processes that train; -1 takes every core.", ge=-1)] = -1
    headrace_training_backend: Annotated[
        Literal["local", "dask", "ray"],
        Field(description="Where candidates are trained: this machine, or a Dask or Ray cluster."),
    ] = "local"
    headrace_training_error_rate: Annotated[
        float,
        Field(description="A model no better than the champion is promoted in at most this share of runs.", gt=0, lt=1),
    ] = 0.05
    headrace_training_latency_microseconds_max: Annotated[
        float, Field(description="A model whose median time for one payment is longer is not promoted.", gt=0)
    ] = 2_000.0
    headrace_training_calibration_error_max: Annotated[
        float, Field(description="A model whose expected calibration error is larger is not promoted.", gt=0, le=1)
    ] = 0.05
    headrace_training_segment_loss_max: Annotated[
        float,
        Field(
            description="Nor one whose average precision in some segment is surely so much below the champion's.", gt=0
        ),
    ] = 0.1
    headrace_training_leakage_auc: Annotated[
        float,
        Field(description="A feature that alone ranks fraud this well is too good to be true.", gt=0.5, le=1),
    ] = 0.99
    headrace_training_chargeback_cost_minor_units: Annotated[
        int, Field(description="What an approved fraud costs beside its amount.", ge=0)
    ] = 1_500
    headrace_training_review_cost_minor_units: Annotated[int, Field(description="What a review costs.", ge=0)] = 500
    headrace_training_declined_cost_minor_units: Annotated[
        int, Field(description="What declining a genuine payment costs, beside a share of its amount.", ge=0)
    ] = 1_000
    headrace_training_declined_cost_share: Annotated[
        float, Field(description="Share of its amount that is lost with a genuine payment declined.", ge=0)
    ] = 0.1
    headrace_training_reviews_a_day_max: Annotated[
        int | None, Field(description="What the reviewers can do; unset: thresholds at the lowest cost alone.", ge=1)
    ] = None
    headrace_training_recalibration_interval_seconds: Annotated[
        float,
        Field(description="How long until the champion's calibration is looked at again; 0 leaves it alone.", ge=0),
    ] = 300.0
    headrace_training_recalibration_frauds_min: Annotated[
        int,
        Field(description="It is looked at anew after so many matured frauds among payments it decided about.", ge=10),
    ] = 50
    headrace_training_recalibration_days_min: Annotated[float, Field(description="And after so many days.", ge=0)] = 1.0
    headrace_training_recalibration_gain_min: Annotated[
        float,
        Field(description="Share of the log loss, or of the cost, that must surely be gained.", ge=0, lt=1),
    ] = 0.005
    headrace_training_recalibration_error_rate: Annotated[
        float,
        Field(description="Of champions with nothing to gain at most this share is ever recalibrated.", gt=0, lt=1),
    ] = 0.05
    headrace_training_interval_seconds_min: Annotated[
        float, Field(description="Runs that nobody but drift asks for begin at least this far apart.", ge=0)
    ] = 60.0
    headrace_training_staged: Annotated[
        Literal["drift", "always", "never"],
        Field(
            description="Whose models of fraud are tried as challenger and canary before they come into force, and "
            "watched afterwards: those that drift asked for, all, or none. The first one comes into force at once."
        ),
    ] = "drift"
    headrace_training_shadow_payments: Annotated[
        int, Field(description="Payments that such a model scores as a challenger, before it decides any.", ge=1)
    ] = 2_000
    headrace_training_canary_share: Annotated[
        float, Field(description="Share of the cards that it decides about next.", gt=0, lt=1)
    ] = 0.1
    headrace_training_canary_payments: Annotated[
        int, Field(description="Payments that it decides about in that way, before it decides all.", ge=1)
    ] = 500
    headrace_training_watch_payments: Annotated[
        int,
        Field(
            description="Payments that it then decides beside the version before as challenger, counted once they are "
            "old enough for labels; harm brings that version back.",
            ge=1,
        ),
    ] = 5_000
    headrace_training_flagged_factor_max: Annotated[
        float,
        Field(
            description="It does harm where it reviews or declines more than so many times what the version before "
            "does, known frauds apart, and what it did itself on the payments it was measured on.",
            ge=1,
        ),
    ] = 2.0
    headrace_training_flagged_slack: Annotated[
        float, Field(description="This share of the payments may come on top.", ge=0, lt=1)
    ] = 0.01
    headrace_training_unscored_slack: Annotated[
        float,
        Field(
            description="It does harm where it leaves a share of payments without a score that is larger by this.",
            ge=0,
            lt=1,
        ),
    ] = 0.01
    headrace_training_rollout_hours_max: Annotated[
        float,
        Field(
            description="A stage that lacks payments for so long is given up; a watch has the label delay more.", gt=0
        ),
    ] = 168.0
    headrace_training_rollout_interval_seconds: Annotated[
        float, Field(description="How long until the rollouts under way are looked at again.", gt=0)
    ] = 30.0
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
    headrace_training_interaction_days: Annotated[
        float, Field(description="How many days of interactions a recommender is trained on, the newest first.", gt=0)
    ] = 365.0
    headrace_training_interactions_min: Annotated[
        int, Field(description="With fewer interactions no recommender is trained.", ge=1)
    ] = 1_000
    headrace_training_shoppers_min: Annotated[
        int, Field(description="Nor with fewer shoppers who touched two items or more.", ge=1)
    ] = 50
    headrace_training_items_min: Annotated[
        int, Field(description="Nor with fewer items that somebody touched.", ge=2)
    ] = 20
    headrace_training_kind_weights: Annotated[
        dict[Kind, NonNegativeFloat],
        Field(description="What an interaction of each kind counts, JSON; a kind that is not named counts nothing."),
    ] = _KIND_WEIGHTS
    headrace_training_daily_interactions_max: Annotated[
        int,
        Field(
            description="Of a shopper's interactions of one day (UTC) so many count, the newest: a bot has more.", ge=1
        ),
    ] = 500
    headrace_training_distrust_days: Annotated[
        float,
        Field(
            description="A shopper's interactions within so many days of a payment of theirs that was declined, or was "
            "fraud, count less.",
            ge=0,
        ),
    ] = 7.0
    headrace_training_segment_attribute: Annotated[
        str | None, Field(description="Attribute of users by which popularity is told apart.", max_length=64)
    ] = "segment"
    headrace_training_segment_shoppers_min: Annotated[
        int, Field(description="A segment with fewer shoppers is served what is popular with everyone.", ge=1)
    ] = 50
    headrace_training_blend_seconds: Annotated[
        float, Field(description="A recommender's blend is no longer searched for after so long.", gt=0)
    ] = 30.0
    headrace_training_coverage_loss_max: Annotated[
        float,
        Field(
            description="A recommender that shows fewer items than the champion by more than this share is not "
            "promoted.",
            ge=0,
            le=1,
        ),
    ] = 0.2

    @property
    def of_runs(self) -> dict[str, object]:
        """What is kept with each run: every setting of training that is given, by name."""
        given = self.model_dump().items()
        return {name: value for name, value in given if name.startswith("headrace_training_") and value is not None}
