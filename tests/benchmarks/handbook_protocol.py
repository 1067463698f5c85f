"""The Fraud Detection Handbook's splits and its three figures (Le Borgne et al., 2022, chapters 3 to 5)."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.metrics import average_precision_score, roc_auc_score

TRAIN_FROM = datetime(2018, 7, 25, tzinfo=UTC)
TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7
TEST_FROM = TRAIN_FROM + timedelta(days=TRAIN_DAYS + DELAY_DAYS)
TEST_UNTIL = TEST_FROM + timedelta(days=TEST_DAYS)
PREQUENTIAL = [TRAIN_FROM + timedelta(weeks=week) for week in range(4)]
"""When the training weeks of the four folds begin."""
VALIDATION = [TRAIN_FROM - timedelta(weeks=weeks) for weeks in (5, 4, 3, 2)]
"""When those begin on which parameters are chosen: the last test week is the first of the above training weeks."""
CARDS_LOOKED_AT = 100

FEATURES = [
    "TX_AMOUNT",
    "TX_DURING_WEEKEND",
    "TX_DURING_NIGHT",
    *(f"CUSTOMER_ID_{what}_{days}DAY_WINDOW" for days in (1, 7, 30) for what in ("NB_TX", "AVG_AMOUNT")),
    *(f"TERMINAL_ID_{what}_{days}DAY_WINDOW" for days in (1, 7, 30) for what in ("NB_TX", "RISK")),
]
"""The book's columns, in the order of Headrace's fraud features."""
AMOUNTS = [name for name in FEATURES if "AMOUNT" in name]
"""In major units; Headrace's are in minor units."""


class Result(NamedTuple):
    """The three figures, and how high the last one could be."""

    auc_roc: float
    average_precision: float
    card_precision: float
    card_precision_ceiling: float


PUBLISHED_PREQUENTIAL = {
    "logistic regression": Result(0.868, 0.623, 0.297, float("nan")),
    "random forest": Result(0.870, 0.678, 0.299, float("nan")),
    "XGBoost": Result(0.869, 0.687, 0.303, float("nan")),
    "feed-forward network": Result(0.876, 0.675, 0.303, float("nan")),
    "LSTM": Result(0.876, 0.665, 0.297, float("nan")),
}
PUBLISHED = {
    "logistic regression": Result(0.871, 0.606, 0.291, float("nan")),
    "random forest": Result(0.867, 0.658, 0.287, float("nan")),
    "XGBoost": Result(0.862, 0.639, 0.273, float("nan")),
}


def days_of(transactions: pl.DataFrame, since: datetime, days: int) -> pl.DataFrame:
    """Return the payments of some days."""
    first = (since - datetime(2018, 4, 1, tzinfo=UTC)).days
    return transactions.filter(pl.col("TX_TIME_DAYS").is_between(first, first + days - 1))


def test_set(transactions: pl.DataFrame) -> pl.DataFrame:
    """Return what the single split is tested on."""
    return tested_payments(transactions, TRAIN_FROM)


def tested_payments(transactions: pl.DataFrame, train_from: datetime) -> pl.DataFrame:
    """Return the test week of a split without the customers known to be compromised, day by day.

    Known are those defrauded in the training week, and on test day d also those of the d days after it: their labels
    are 7 days late.
    """
    test_from = train_from + timedelta(days=TRAIN_DAYS + DELAY_DAYS)
    known = set(_defrauded(days_of(transactions, train_from, TRAIN_DAYS)))
    days = []
    for day in range(TEST_DAYS):
        newly_known = train_from + timedelta(days=TRAIN_DAYS + day - 1)
        known |= set(_defrauded(days_of(transactions, newly_known, 1)))
        today = days_of(transactions, test_from + timedelta(days=day), 1)
        days.append(today.filter(~pl.col("CUSTOMER_ID").is_in(list(known))))
    return pl.concat(days)


def evaluate(tested: pl.DataFrame, scores: npt.NDArray[np.float64]) -> Result:
    """Return the figures of `scores`, one for each row of `tested`."""
    frauds = tested["TX_FRAUD"].to_numpy()
    precision, ceiling = _card_precision(tested.with_columns(score=scores))
    return Result(
        float(roc_auc_score(frauds, scores)), float(average_precision_score(frauds, scores)), precision, ceiling
    )


def _card_precision(scored: pl.DataFrame) -> tuple[float, float]:
    """Return the mean share of compromised cards among the 100 most suspicious of each day, and the highest possible."""
    caught: set[int] = set()
    found: list[float] = []
    possible: list[float] = []
    for _, today in sorted(scored.group_by("TX_TIME_DAYS"), key=lambda group: group[0]):
        cards = (
            today.filter(~pl.col("CUSTOMER_ID").is_in(list(caught)))
            .group_by("CUSTOMER_ID")
            .agg(pl.col("score").max(), pl.col("TX_FRAUD").max())
            .sort("score", "CUSTOMER_ID", descending=[True, False])
        )
        top = cards.head(CARDS_LOOKED_AT)
        found.append(int(top["TX_FRAUD"].sum()) / CARDS_LOOKED_AT)
        possible.append(min(CARDS_LOOKED_AT, int(cards["TX_FRAUD"].sum())) / CARDS_LOOKED_AT)
        caught |= set(_defrauded(top))
    return float(np.mean(found)), float(np.mean(possible))


def _defrauded(rows: pl.DataFrame) -> list[int]:
    return rows.filter(pl.col("TX_FRAUD") == 1)["CUSTOMER_ID"].unique().to_list()
