"""The topic table: what travels where, keyed how, written and read by whom.

Topic creation, the JSON Schemas, the picture in the README and the docs are all derived from this table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter

from shared.contracts import events, shopping
from shared.contracts.events import Event

DEAD_LETTER_SUFFIX = ".dlq"


@dataclass(frozen=True)
class Topic:
    """One topic: its event type and who is at either end.

    key: path of the event's field that keys the record, so that one entity's events keep their order.
    ordered_by_entity: spread over partitions; otherwise one partition keeps one order for all.
    retention: None keeps records for ever.
    compacted: of each key only the newest record is sure to stay.
    """

    name: str
    event: type[Event]
    key: str
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    retention: timedelta | None
    ordered_by_entity: bool = True
    compacted: bool = False

    def key_of(self, event: Event) -> str:
        """Return the key that `event` must travel under."""
        return str(attrgetter(self.key)(event))

    @property
    def dead_letter_name(self) -> str:
        """Name of the topic that takes this one's rejected records."""
        return self.name + DEAD_LETTER_SUFFIX


_QUARTER = timedelta(days=92)
_MONTH = timedelta(days=31)

TRANSACTIONS = Topic("transactions", events.Transaction, "card_id", ("ingest", "scoring"), ("features",), _QUARTER)
INTERACTIONS = Topic(
    "interactions", shopping.Interaction, "user_id", ("ingest",), ("features", "scoring", "training", "drift"), _QUARTER
)
ITEMS = Topic("items", shopping.Item, "item_id", ("ingest",), ("scoring", "training"), None, compacted=True)
USERS = Topic("users", shopping.User, "user_id", ("ingest",), ("features", "training"), None, compacted=True)
LABELS = Topic("labels", events.Label, "card_id", ("ingest",), ("features", "training", "drift"), _QUARTER)
FEATURES = Topic(
    "features",
    events.FeatureVector,
    "transaction.card_id",
    ("features",),
    ("scoring", "training", "drift"),
    _MONTH,
)
SCORES = Topic("scores", events.Decision, "card_id", ("scoring",), ("training", "drift"), _QUARTER)
SHADOWS = Topic("shadows", events.ShadowScore, "card_id", ("scoring",), ("training",), _QUARTER)
IMPRESSIONS = Topic(
    "impressions", shopping.Impression, "user_id", ("scoring",), ("scoring", "training", "drift"), _QUARTER
)
DRIFT = Topic("drift", events.DriftAlarm, "model_name", ("drift",), (), None, ordered_by_entity=False)
RETRAINING = Topic(
    "retraining",
    events.RetrainingRequest,
    "model_name",
    ("drift", "cli"),
    ("training",),
    None,
    ordered_by_entity=False,
)
MODELS = Topic(
    "models",
    events.ModelEvent,
    "model_name",
    ("training", "cli"),
    ("scoring", "drift"),
    None,
    ordered_by_entity=False,
)
POLICIES = Topic("policies", events.PolicyEvent, "policy_name", ("cli",), ("scoring",), None, ordered_by_entity=False)
LISTS = Topic("lists", events.ListEvent, "value", ("cli",), ("scoring",), None, ordered_by_entity=False)

TOPICS: tuple[Topic, ...] = (
    TRANSACTIONS,
    INTERACTIONS,
    ITEMS,
    USERS,
    LABELS,
    FEATURES,
    SCORES,
    SHADOWS,
    IMPRESSIONS,
    DRIFT,
    RETRAINING,
    MODELS,
    POLICIES,
    LISTS,
)
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}


def dead_letter_names() -> Iterator[str]:
    """Yield the dead-letter topic of every topic that some service reads."""
    return (topic.dead_letter_name for topic in TOPICS if topic.read_by)
