"""How figures are called and written, in the report and in the model card."""

import math
from datetime import UTC, datetime

from services.training.evaluation.bootstrap import Interval
from services.training.evaluation.policy import DECLINE_NOTHING

FIGURES = {
    "average_precision": ("Average precision", "precision over all recalls; by chance it is the share of fraud"),
    "auc_roc": ("Area under the ROC curve", "chance that a fraud scores above a genuine payment"),
    "card_precision_at_100": (
        "Card precision at 100",
        "defrauded among the 100 most suspicious cards of a day, caught ones left out later",
    ),
    "precision": ("Precision, reviewed or declined", "share of them that is fraud"),
    "recall": ("Recall, reviewed or declined", "share of all fraud that is among them"),
    "f1": ("F1, reviewed or declined", "harmonic mean of these two"),
    "decline_precision": ("Precision, declined", "share of them that is fraud"),
    "decline_recall": ("Recall, declined", "share of all fraud that is among them"),
    "decline_f1": ("F1, declined", "harmonic mean of these two"),
    "expected_calibration_error": (
        "Expected calibration error",
        "how far scores are from the share of fraud; its interval lies high by chance alone",
    ),
    "brier_score": ("Brier score", "mean squared distance of score and truth"),
    "mean_score": ("Mean score", "of a calibrated model it is the share of fraud"),
    "fraud_rate": ("Share of fraud", "among the payments"),
    "cost_a_day_minor_units": ("Cost a day", "fraud lost, reviews, and genuine payments declined"),
}
"""Title and meaning, by name in Evaluation.figures."""
_MONEY, _SHARES = {"cost_a_day_minor_units"}, {"fraud_rate", "mean_score"}
_SMALL = {"expected_calibration_error", "brier_score"}


def value(interval: Interval, name: str) -> str:
    """Return a figure of that name as text, without its interval."""
    return _number(interval.value, name) if math.isfinite(interval.value) else "cannot be told"


def bounds(interval: Interval, name: str) -> str:
    """Return a figure's interval as text, empty where it cannot be told."""
    if not math.isfinite(interval.low):
        return ""
    return f"{_number(interval.low, name)} to {_number(interval.high, name)}"


def money(minor_units: float) -> str:
    """Return an amount in major units, as text."""
    return f"{minor_units / 100:,.2f}"


def utc(time: datetime) -> str:
    """Return a time to the minute, as text."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def threshold(level: float) -> str:
    """Return a threshold as text."""
    return f"{level:.4g}" if level < DECLINE_NOTHING else "none: it never pays"


def _number(number: float, name: str) -> str:
    if name in _MONEY:
        return money(number)
    if name in _SHARES:
        return f"{number:.2%}"
    return f"{number:.4f}" if name in _SMALL else f"{number:.3f}"
