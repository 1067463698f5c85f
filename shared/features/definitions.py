"""The vocabulary in which features are defined: entity, aggregation, window, delay, filter.

A window is (t - delay - length, t - delay] in event time, where t is the payment's own time; with no delay it includes
the payment itself. What a model sees is a FeatureSet: an ordered list of features, one line each.
"""

import functools
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import msgspec

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

SEMANTICS = 1
"""Raised when a name comes to mean something else, so that vectors from before are not taken for the same."""
WINDOW_MIN = MINUTE
WINDOW_MAX = 90 * DAY


class Entity(Enum):
    """Whose history a feature looks at."""

    CARD = "card"
    MERCHANT = "merchant"
    DEVICE = "device"
    USER = "user"


class Field(Enum):
    """A category that a payment falls into."""

    CHANNEL = "channel"
    COUNTRY = "country"
    MCC = "mcc"
    CURRENCY = "currency"


class Aggregation(Enum):
    """What is computed over the payments in a window. Amounts are in minor units, times in seconds.

    An empty window gives 0, except that the two times since something give the time since the window began: as long ago
    as the window can tell.
    """

    COUNT = "count"
    SUM = "sum_amount"
    MEAN = "mean_amount"
    DEVIATION = "std_amount"
    """Standard deviation of the population."""
    MIN = "min_amount"
    MAX = "max_amount"
    DISTINCT = "distinct"
    """Number of different values of `of`; a payment without one does not count."""
    SHARE = "share"
    """Of the payments in the window, the part that passes the filter."""
    FRAUD_COUNT = "fraud_count"
    """Payments known, at the payment's own time, to be fraud."""
    FRAUD_RATE = "fraud_rate"
    OUTLIERS = "outliers"
    """Payments whose amount lies more than OUTLIER_ROBUST_Z from what the entity typically spent over `reference`."""
    SINCE_LAST = "seconds_since_last"
    """From the entity's latest payment before this one."""
    SINCE_FIRST = "seconds_since_first"
    """From the entity's first payment in the window: how long it is known."""
    SINCE_FRAUD = "seconds_since_fraud"
    """From the entity's latest payment that is known to be fraud."""
    FRAUD_STREAK = "fraud_streak"
    """Payments known to be fraud since the latest one that is not: who is compromised may have nothing but frauds."""
    RATIO = "amount_to_mean"
    """The payment's amount over the mean of those before it; 0 without one."""
    Z_SCORE = "amount_z"
    """The payment's amount against mean and standard deviation of those before it; 0 without one."""
    ROBUST_Z = "amount_robust_z"
    """As Z_SCORE, by median and median absolute deviation."""


OUTLIER_ROBUST_Z = 3.5
"""Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993."""

PAST_ONLY = frozenset({Aggregation.SINCE_LAST, Aggregation.RATIO, Aggregation.Z_SCORE, Aggregation.ROBUST_Z})
"""What compares the payment with those before it, and so leaves it out of its own window."""


@dataclass(frozen=True)
class Equals:
    """Passes payments of one category, for example Equals(Field.CHANNEL, "ecommerce")."""

    field: Field
    value: str

    @property
    def name(self) -> str:
        """How it reads in a column's name."""
        return f"{self.field.value}_{self.value.lower()}"


@dataclass(frozen=True)
class Same:
    """Passes payments that agree with the payment at hand in a category or an entity."""

    field: Field | Entity

    @property
    def name(self) -> str:
        """How it reads in a column's name."""
        return f"same_{self.field.value}"


@dataclass(frozen=True)
class AmountBelow:
    """Passes payments of less than so many minor units."""

    minor_units: int

    @property
    def name(self) -> str:
        """How it reads in a column's name."""
        return f"below_{self.minor_units}"


Filter = Equals | Same | AmountBelow


@dataclass(frozen=True)
class Window:
    """An aggregation over an entity's history.

    entity: one, or two: the history of the first, where the second is the same as now (a card at a merchant).
    of: what DISTINCT counts. reference: what OUTLIERS are measured against.

    Raises:
        ValueError: a length out of WINDOW_MIN to WINDOW_MAX, or a combination that means nothing.
    """

    entity: Entity | tuple[Entity, Entity]
    aggregation: Aggregation
    length: timedelta
    delay: timedelta = timedelta()
    where: Filter | None = None
    of: Field | Entity | None = None
    reference: timedelta | None = None

    def __post_init__(self) -> None:
        wrong = {
            f"a window lasts from {_span(WINDOW_MIN)} to {_span(WINDOW_MAX)}": not all(
                WINDOW_MIN <= length <= WINDOW_MAX for length in (self.length, self.reference) if length is not None
            ),
            f"a delay lasts from 0 to {_span(WINDOW_MAX)}": not timedelta() <= self.delay <= WINDOW_MAX,
            "`of` goes with DISTINCT, and only with it": (self.of is None)
            is (self.aggregation is Aggregation.DISTINCT),
            "`reference` goes with OUTLIERS, and only with it": (self.reference is None)
            is (self.aggregation is Aggregation.OUTLIERS),
            "a SHARE needs `where`": self.aggregation is Aggregation.SHARE and self.where is None,
            "a delay would leave the payment itself out, which this aggregation is about": bool(self.delay)
            and (self.aggregation in PAST_ONLY or self.aggregation is Aggregation.OUTLIERS),
            "a delay is needed: of the newest payments nothing is known yet": not self.delay
            and self.aggregation is Aggregation.FRAUD_STREAK,
            "a combination is of two different entities": len(set(self.entities)) != len(self.entities),
        }
        for told, is_wrong in wrong.items():
            if is_wrong:
                raise ValueError(f"{self.name}: {told}")

    @property
    def entities(self) -> tuple[Entity, ...]:
        """Whose history it is, and what narrows it."""
        return self.entity if isinstance(self.entity, tuple) else (self.entity,)

    @property
    def name(self) -> str:
        """Name of the column, for example card_mean_amount_7d or card_distinct_merchant_1d."""
        parts = [entity.value for entity in self.entities]
        parts.append(self.aggregation.value)
        if self.of:
            parts.append(self.of.value)
        if self.where:
            parts.append(self.where.name)
        parts.append(_span(self.length))
        if self.delay:
            parts += ["delay", _span(self.delay)]
        if self.reference:
            parts += ["against", _span(self.reference)]
        return "_".join(parts)


class RowFunction(Enum):
    """What is computed from the payment alone. Times are UTC."""

    AMOUNT = "amount"
    WEEKEND = "weekend"
    NIGHT = "night"
    """Before 7 in the morning, as the Fraud Detection Handbook has it (hours 0 to 6)."""
    HOUR_SINE = "hour_sin"
    HOUR_COSINE = "hour_cos"
    WEEKDAY_SINE = "weekday_sin"
    WEEKDAY_COSINE = "weekday_cos"


@dataclass(frozen=True)
class Row:
    """A function of the payment alone."""

    function: RowFunction

    @property
    def name(self) -> str:
        """Name of the column."""
        return self.function.value


@dataclass(frozen=True)
class Category:
    """A category of the payment, as a code; training fits the encoding that the model gets."""

    field: Field

    @property
    def name(self) -> str:
        """Name of the column."""
        return self.field.value


Feature = Window | Row | Category


@dataclass(frozen=True)
class FeatureSet:
    """An ordered list of features: the columns of a vector.

    Raises:
        ValueError: two features have the same name.
    """

    name: str
    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = self.feature_names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"feature set {self.name!r} defines twice: {', '.join(twice)}")

    @property
    def feature_names(self) -> list[str]:
        """The vector's columns, in order."""
        return [feature.name for feature in self.features]

    @property
    def categories(self) -> list[int]:
        """Places of the columns that hold a category's code."""
        return [at for at, feature in enumerate(self.features) if isinstance(feature, Category)]

    @functools.cached_property
    def version(self) -> str:
        """SHA-256 of the definitions: two sets with the same version give the same vectors."""
        return hashlib.sha256(msgspec.json.encode([SEMANTICS, *self.feature_names])).hexdigest()

    def horizon(self, entity: Entity) -> timedelta:
        """How far back the longest window over `entity` reaches; 0 when no feature looks at it."""
        reaches = [
            max(feature.length, feature.reference or feature.length) + feature.delay
            for feature in self.features
            if isinstance(feature, Window) and feature.entities[0] is entity
        ]
        return max(reaches, default=timedelta())

    @property
    def entities(self) -> tuple[Entity, ...]:
        """Whose histories are kept: the card's always, since it tells what has been seen, and those looked at."""
        return tuple(entity for entity in Entity if entity is Entity.CARD or self.horizon(entity))

    @property
    def longest_horizon(self) -> timedelta:
        """How far back the longest window of all reaches."""
        return max(self.horizon(entity) for entity in Entity)


def _span(span: timedelta) -> str:
    for unit, length in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if span % length == timedelta():
            return f"{span // length}{unit}"
    return f"{span.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
