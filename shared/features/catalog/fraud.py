"""Features of a card payment. To add one, add a line: the vector's columns and version follow from this list.

The first fifteen are those of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi, 2022, chapter 3):
the payment's amount and time, the card's spending over 1, 7 and 30 days, the merchant's fraud rate, known 7 days late.
"""

from shared.features.definitions import (
    DAY,
    HOUR,
    MINUTE,
    Aggregation,
    AmountBelow,
    Category,
    Entity,
    Equals,
    FeatureSet,
    Field,
    Row,
    RowFunction,
    Same,
    Window,
)

CARD, MERCHANT, DEVICE, USER = Entity.CARD, Entity.MERCHANT, Entity.DEVICE, Entity.USER
LABEL_DELAY = 7 * DAY
SMALL_AMOUNT_MINOR_UNITS = 500
EVERYDAY = AmountBelow(20_000)
"""A fraud of less says something about the merchant; one of more, that somebody has the card."""

HANDBOOK = FeatureSet(
    "handbook",
    (
        Row(RowFunction.AMOUNT),
        Row(RowFunction.WEEKEND),
        Row(RowFunction.NIGHT),
        Window(CARD, Aggregation.COUNT, 1 * DAY),
        Window(CARD, Aggregation.MEAN, 1 * DAY),
        Window(CARD, Aggregation.COUNT, 7 * DAY),
        Window(CARD, Aggregation.MEAN, 7 * DAY),
        Window(CARD, Aggregation.COUNT, 30 * DAY),
        Window(CARD, Aggregation.MEAN, 30 * DAY),
        Window(MERCHANT, Aggregation.COUNT, 1 * DAY, LABEL_DELAY),
        Window(MERCHANT, Aggregation.FRAUD_RATE, 1 * DAY, LABEL_DELAY),
        Window(MERCHANT, Aggregation.COUNT, 7 * DAY, LABEL_DELAY),
        Window(MERCHANT, Aggregation.FRAUD_RATE, 7 * DAY, LABEL_DELAY),
        Window(MERCHANT, Aggregation.COUNT, 30 * DAY, LABEL_DELAY),
        Window(MERCHANT, Aggregation.FRAUD_RATE, 30 * DAY, LABEL_DELAY),
    ),
)

FRAUD = FeatureSet(
    "fraud",
    (
        *HANDBOOK.features,
        # When, and what kind of payment.
        Row(RowFunction.HOUR_SINE),
        Row(RowFunction.HOUR_COSINE),
        Row(RowFunction.WEEKDAY_SINE),
        Row(RowFunction.WEEKDAY_COSINE),
        Category(Field.CHANNEL),
        Category(Field.COUNTRY),
        Category(Field.MCC),
        # How fast the card pays: testing of stolen cards, and spending before they are blocked.
        Window(CARD, Aggregation.COUNT, 10 * MINUTE),
        Window(CARD, Aggregation.COUNT, 1 * HOUR),
        Window(CARD, Aggregation.COUNT, 1 * DAY, where=AmountBelow(SMALL_AMOUNT_MINOR_UNITS)),
        Window(CARD, Aggregation.SUM, 1 * DAY),
        Window(CARD, Aggregation.SINCE_LAST, 30 * DAY),
        Window(CARD, Aggregation.SINCE_FIRST, 30 * DAY),
        # What the card usually does, and how far this payment is from it.
        Window(CARD, Aggregation.MIN, 30 * DAY),
        Window(CARD, Aggregation.MAX, 30 * DAY),
        Window(CARD, Aggregation.DEVIATION, 30 * DAY),
        Window(CARD, Aggregation.RATIO, 30 * DAY),
        Window(CARD, Aggregation.Z_SCORE, 30 * DAY),
        Window(CARD, Aggregation.ROBUST_Z, 30 * DAY),
        Window(CARD, Aggregation.OUTLIERS, 1 * DAY, reference=30 * DAY),
        Window(CARD, Aggregation.OUTLIERS, 7 * DAY, reference=30 * DAY),
        Window(CARD, Aggregation.DISTINCT, 1 * DAY, of=MERCHANT),
        Window(CARD, Aggregation.DISTINCT, 7 * DAY, of=Field.COUNTRY),
        Window(CARD, Aggregation.SHARE, 30 * DAY, where=Same(Field.MCC)),
        Window(CARD, Aggregation.SHARE, 30 * DAY, where=Same(Field.COUNTRY)),
        Window(CARD, Aggregation.SHARE, 30 * DAY, where=Equals(Field.CHANNEL, "ecommerce")),
        Window((CARD, MERCHANT), Aggregation.COUNT, 30 * DAY),
        Window((CARD, MERCHANT), Aggregation.SINCE_LAST, 30 * DAY),
        Window((CARD, DEVICE), Aggregation.COUNT, 30 * DAY),
        # What is known of the card's past.
        Window(CARD, Aggregation.FRAUD_COUNT, 30 * DAY),
        Window(CARD, Aggregation.SINCE_FRAUD, 30 * DAY),
        # Since when the merchant is compromised, if it is. Its frauds are counted LABEL_DELAY late: sooner, most labels
        # have not come, and the count tells how fast they do rather than how much fraud there is.
        Window(MERCHANT, Aggregation.FRAUD_RATE, 3 * DAY, LABEL_DELAY),
        Window(MERCHANT, Aggregation.FRAUD_RATE, 14 * DAY, LABEL_DELAY),
        Window(MERCHANT, Aggregation.FRAUD_RATE, 21 * DAY, LABEL_DELAY),
        Window(MERCHANT, Aggregation.SINCE_FRAUD, 30 * DAY, LABEL_DELAY),
        Window(MERCHANT, Aggregation.FRAUD_COUNT, 7 * DAY, LABEL_DELAY, where=EVERYDAY),
        Window(MERCHANT, Aggregation.FRAUD_COUNT, 14 * DAY, LABEL_DELAY, where=EVERYDAY),
        Window(MERCHANT, Aggregation.FRAUD_COUNT, 28 * DAY, LABEL_DELAY, where=EVERYDAY),
        Window(MERCHANT, Aggregation.FRAUD_STREAK, 30 * DAY, LABEL_DELAY, where=EVERYDAY),
        # The merchant now.
        Window(MERCHANT, Aggregation.COUNT, 1 * HOUR),
        Window(MERCHANT, Aggregation.MEAN, 7 * DAY),
        Window(MERCHANT, Aggregation.RATIO, 7 * DAY),
        Window(MERCHANT, Aggregation.DISTINCT, 1 * HOUR, of=CARD),
        Window(MERCHANT, Aggregation.SHARE, 7 * DAY, where=AmountBelow(SMALL_AMOUNT_MINOR_UNITS)),
        # The device, and the account holder.
        Window(DEVICE, Aggregation.COUNT, 1 * DAY),
        Window(DEVICE, Aggregation.DISTINCT, 7 * DAY, of=CARD),
        Window(DEVICE, Aggregation.FRAUD_COUNT, 30 * DAY),
        Window(USER, Aggregation.DISTINCT, 7 * DAY, of=DEVICE),
        Window(USER, Aggregation.DISTINCT, 30 * DAY, of=CARD),
    ),
)
