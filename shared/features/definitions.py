"""The vocabulary in which features are defined: entity, aggregation, window, delay.

A window is (t - delay - window, t - delay] in event time, where t is the payment's own time; with no delay it
includes the payment itself.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import msgspec


class Entity(Enum):
    """Whose history a feature looks at."""

    CARD = "card"
    MERCHANT = "merchant"


class Aggregation(Enum):
    """What is computed over the window."""

    COUNT = "count"
    MEAN_AMOUNT = "mean_amount"
    FRAUD_RATE = "fraud_rate"


class RowFunction(Enum):
    """What is computed from the payment alone."""

    AMOUNT = "amount"
    WEEKEND = "weekend"
    NIGHT = "night"


@dataclass(frozen=True)
class WindowFeature:
    """An aggregation over an entity's history.

    Amounts are in major units (12.5 is 12.50 EUR). An empty window gives 0.
    """

    entity: Entity
    aggregation: Aggregation
    window: timedelta
    delay: timedelta = timedelta()

    @property
    def name(self) -> str:
        """Name of the column, for example card_mean_amount_7d."""
        delayed = f"_delay_{_span(self.delay)}" if self.delay else ""
        return f"{self.entity.value}_{self.aggregation.value}_{_span(self.window)}{delayed}"


@dataclass(frozen=True)
class RowFeature:
    """A function of the payment alone."""

    function: RowFunction

    @property
    def name(self) -> str:
        """Name of the column."""
        return self.function.value


Feature = WindowFeature | RowFeature


@dataclass(frozen=True)
class FeatureSet:
    """An ordered list of features: the columns of a vector."""

    name: str
    features: tuple[Feature, ...]

    @property
    def feature_names(self) -> list[str]:
        """The vector's columns, in order."""
        return [feature.name for feature in self.features]

    @property
    def version(self) -> str:
        """SHA-256 of the definitions: two sets with the same version give the same vectors."""
        return hashlib.sha256(msgspec.json.encode([_described(feature) for feature in self.features])).hexdigest()

    @property
    def horizon(self) -> timedelta:
        """How far back the longest window reaches."""
        return max((f.window + f.delay for f in self.features if isinstance(f, WindowFeature)), default=timedelta())


def _described(feature: Feature) -> list[str | float]:
    if isinstance(feature, RowFeature):
        return [feature.function.value]
    return [
        feature.entity.value,
        feature.aggregation.value,
        feature.window.total_seconds(),
        feature.delay.total_seconds(),
    ]


def _span(span: timedelta) -> str:
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if span.total_seconds() % seconds == 0:
            return f"{int(span.total_seconds() // seconds)}{unit}"
    return f"{span.total_seconds():g}s"
