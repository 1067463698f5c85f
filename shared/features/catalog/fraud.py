"""Features of a card payment.

The first set is the fifteen of the Fraud Detection Handbook (Le Borgne et al., 2022): the payment's amount and time,
the card's spending over 1, 7 and 30 days, and the merchant's fraud rate, known seven days late.
"""

from datetime import timedelta

from shared.features.definitions import (
    Aggregation,
    Entity,
    FeatureSet,
    RowFeature,
    RowFunction,
    WindowFeature,
)

_SPANS = (timedelta(days=1), timedelta(days=7), timedelta(days=30))
LABEL_DELAY = timedelta(days=7)

FRAUD = FeatureSet(
    "fraud",
    (
        RowFeature(RowFunction.AMOUNT),
        RowFeature(RowFunction.WEEKEND),
        RowFeature(RowFunction.NIGHT),
        *(
            WindowFeature(Entity.CARD, aggregation, window)
            for window in _SPANS
            for aggregation in (Aggregation.COUNT, Aggregation.MEAN_AMOUNT)
        ),
        *(
            WindowFeature(Entity.MERCHANT, aggregation, window, LABEL_DELAY)
            for window in _SPANS
            for aggregation in (Aggregation.COUNT, Aggregation.FRAUD_RATE)
        ),
    ),
)
