"""What became of the same payments under one way to keep a model or another."""

from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]


class LivePayment(NamedTuple):
    """A payment and the truth about it; amount in minor units."""

    transaction_id: str
    at: datetime
    amount: int
    is_fraud: bool
    is_new_pattern: bool


class Lived(NamedTuple):
    """What the platform did with the live payments, which are in order of time.

    flagged: shape (payments,), reviewed or declined. changed: place of the first payment of the new pattern. alarmed,
    asked, renewed: payments that had been made when drift raised its first alarm behind that, asked for a model, and
    when a model trained behind it came into force; None where that never was. needless: requests before the change.
    trainings: models that were trained after the first one.
    """

    payments: list[LivePayment]
    flagged: Flags
    changed: int
    alarmed: int | None
    asked: int | None
    renewed: int | None
    needless: int
    trainings: int


class Missed(NamedTuple):
    """The frauds of a stretch that were approved, and their amount in minor units."""

    frauds: int
    amount: int


def recall(payments: list[LivePayment], flagged: Flags, *, since: int, until: int | None = None) -> float:
    """Return the share of the frauds among payments[since:until] that were flagged; NaN where there is none."""
    is_fraud = np.array([payment.is_fraud for payment in payments[since:until]], dtype=np.bool_)
    return float(flagged[since:until][is_fraud].mean()) if is_fraud.any() else float("nan")


def missed(payments: list[LivePayment], flagged: Flags, *, since: int, until: int | None = None) -> Missed:
    """Return the frauds among payments[since:until] that were not flagged."""
    passed = [
        payment.amount
        for payment, was_flagged in zip(payments[since:until], flagged[since:until], strict=True)
        if payment.is_fraud and not was_flagged
    ]
    return Missed(len(passed), sum(passed))


def flagged_share(flagged: Flags, *, since: int, until: int | None = None) -> float:
    """Return the share of payments that somebody has to look at, or that were declined."""
    return float(flagged[since:until].mean())
