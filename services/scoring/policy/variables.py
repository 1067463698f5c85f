"""The names that a rule may use: the payment's fields, the score, and every feature.

Numbers are doubles, `hour` and `weekday` apart, which are integers in UTC (weekday: 1 is Monday). Amounts are in minor
units. A feature that has the name of one of the payment's fields is not offered beside it: `amount` is the same number,
and `channel`, `country` and `mcc` read better as text than as the feature's code.
"""

from collections.abc import Callable, Iterable
from datetime import UTC
from operator import attrgetter

from shared.contracts.events import FeatureVector, Transaction
from shared.features.definitions import FeatureSet

Kind = str
NUMBER, INTEGER, TEXT, TRUTH, MAP = "number", "integer", "text", "true or false", "map"

_OF_PAYMENT: dict[str, tuple[Kind, Callable[[Transaction], object]]] = {
    "amount": (NUMBER, lambda payment: float(payment.amount)),
    **{name: (TEXT, attrgetter(name)) for name in ("currency", "channel", "country", "mcc", "card_id", "merchant_id")},
    "device_id": (TEXT, lambda payment: payment.device_id or ""),
    "user_id": (TEXT, lambda payment: payment.user_id or ""),
    "attributes": (MAP, attrgetter("attributes")),
    "hour": (INTEGER, lambda payment: payment.occurred_at.astimezone(UTC).hour),
    "weekday": (INTEGER, lambda payment: payment.occurred_at.astimezone(UTC).isoweekday()),
}
_OF_SCORE: dict[str, tuple[Kind, Callable[[float | None], object]]] = {
    "score": (NUMBER, lambda score: score or 0.0),
    "has_score": (TRUTH, lambda score: score is not None),
}


def kinds(feature_set: FeatureSet) -> dict[str, Kind]:
    """Return what each name stands for."""
    own = {name: kind for name, (kind, _) in (*_OF_PAYMENT.items(), *_OF_SCORE.items())}
    return dict.fromkeys(feature_set.feature_names, NUMBER) | own


class Values:
    """Reads the values of some names from a payment, its features and its score."""

    def __init__(self, names: Iterable[str], feature_set: FeatureSet) -> None:
        """Take names that `kinds` knows."""
        wanted = set(names)
        columns = {name: at for at, name in enumerate(feature_set.feature_names)}
        self._of_payment = [(name, read) for name, (_, read) in _OF_PAYMENT.items() if name in wanted]
        self._of_score = [(name, read) for name, (_, read) in _OF_SCORE.items() if name in wanted]
        taken = _OF_PAYMENT.keys() | _OF_SCORE.keys()
        self._features = [(name, columns[name]) for name in sorted(wanted - taken)]
        self._version = feature_set.version
        self._width = len(columns)

    def of(self, vector: FeatureVector, score: float | None) -> dict[str, object]:
        """Return value by name; without the features where the vector does not hold those of the feature set."""
        payment = vector.transaction
        found = {name: read(payment) for name, read in self._of_payment}
        for name, of_score in self._of_score:
            found[name] = of_score(score)
        values = vector.values
        if self._features and vector.feature_version == self._version and len(values) == self._width:
            for name, at in self._features:
                found[name] = values[at]
        return found
