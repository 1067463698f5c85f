"""Off-policy estimates against known values: what one policy earned, told from the log of another.

Open Bandit (Saito, Aihara, Matsutani, Narita, 2021): a fashion shop showed items by two policies in turn, at random and
by Bernoulli Thompson sampling, and logged the true propensities. What the random policy earned is in its own log, so
the estimate from the other's log can be held against it. The logs are small, so the known value has an interval too.
"""

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.recommendation.off_policy import (
    Estimate,
    Logged,
    doubly_robust,
    inverse_propensity,
    self_normalised,
)
from tests.benchmarks.report import Figure

CAMPAIGNS = ("men", "women")


class _Log(NamedTuple):
    """Of each row: the item, its place on the page, whether it was clicked, and the logging policy's propensity."""

    items: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    clicks: npt.NDArray[np.float64]
    propensities: npt.NDArray[np.float64]


def open_bandit_figures() -> list[Figure]:
    """Return for each campaign each estimate beside what the random policy earned itself."""
    folder = Path(os.environ["HEADRACE_DATA"]) / "open-bandit"
    return [figure for campaign in CAMPAIGNS for figure in _campaign(folder, campaign)]


def _campaign(folder: Path, campaign: str) -> list[Figure]:
    own, other = (_read(folder / policy / campaign / f"{campaign}.csv") for policy in ("random", "bts"))
    items = int(max(own.items.max(), other.items.max())) + 1
    at_random = np.full(len(own.clicks), 1 / items)
    truth = inverse_propensity(Logged(at_random, at_random, own.clicks, np.arange(len(own.clicks))))
    logged = Logged(
        other.propensities, np.full(len(other.clicks), 1 / items), other.clicks, np.arange(len(other.clicks))
    )
    as_shown = np.ones(len(other.clicks))
    rates = _click_rates(other, items)
    everywhere = np.array([rates[fold].mean() for fold in (0, 1)])
    fold = np.arange(len(other.clicks)) % 2
    estimates = {
        "ips": inverse_propensity(logged),
        "snips": self_normalised(logged),
        "dr": doubly_robust(logged, rates[fold, other.items], everywhere[fold]),
        "naive": inverse_propensity(Logged(as_shown, as_shown, other.clicks, logged.shoppers)),
    }
    beside = f"its own log: {_interval(truth)}"
    return [
        Figure(
            f"{campaign}_{name}_clicks_per_1000",
            f"{campaign}, {name}: clicks per 1,000, {_interval(estimate)}",
            1000 * estimate.value,
            1000 * truth.value,
            beside,
            "intervals overlap" if name != "naive" else "",
        )
        for name, estimate in estimates.items()
    ]


def _click_rates(log: _Log, items: int) -> npt.NDArray[np.float64]:
    """Return each item's click rate, smoothed, for the rows of either half from the other half; shape (2, items)."""
    fold = np.arange(len(log.clicks)) % 2
    rates = np.empty((2, items))
    for half in (0, 1):
        learned = fold != half
        shown = np.bincount(log.items[learned], minlength=items)
        clicked = np.bincount(log.items[learned], weights=log.clicks[learned], minlength=items)
        rates[half] = (clicked + 100 * log.clicks[learned].mean()) / (shown + 100)
    return rates


def _interval(estimate: Estimate) -> str:
    return f"{1000 * estimate.low:.2f} to {1000 * estimate.high:.2f}"


def _read(path: Path) -> _Log:
    with path.open(newline="") as file:
        rows = [
            (int(row["item_id"]), int(row["position"]), float(row["click"]), float(row["propensity_score"]))
            for row in csv.DictReader(file)
        ]
    items, places, clicks, propensities = (np.array(column) for column in zip(*rows, strict=True))
    return _Log(items, places, clicks, propensities)
