"""What came of an experiment: how often lists were clicked and bought from, by group, with intervals.

A shopper's lists are alike, so shoppers are the units and not lists. The variance of a rate, clicked lists by lists
shown, follows from the delta method over shoppers (Deng, Knoblich, Lu, "Applying the delta method in metric analytics",
KDD 2018). A rate's interval is Wilson's (1927) at the number of independent lists that would vary as much; differences
to the first group have a normal interval and a two-sided p value, each for itself, however many groups there are.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

COVERAGE = 0.95
CLICKS = ("view", "cart", "purchase", "like")
"""Kinds of interaction that are a click, where they carry the id of a list that showed their item."""
IMPRESSION_COLUMNS = (
    "recommendation_id",
    "user_id",
    "occurred_at",
    "experiment",
    "arm",
    "model_version",
    "policy_version",
    "item_ids",
)
INTERACTION_COLUMNS = ("recommendation_id", "item_id", "kind")

_Floats = npt.NDArray[np.float64]


class Figure(NamedTuple):
    """A figure and the ends of its 95 % interval; NaN where it cannot be told."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """How much more than in the first group. p_value: of a difference at least as large where there is none."""

    figure: Figure
    p_value: float


class Rate(NamedTuple):
    """Of how many lists something came. difference: None in the first group."""

    lists: int
    rate: Figure
    difference: Difference | None


class Group(NamedTuple):
    """Who got the same. impressions: the lists they were shown."""

    name: str
    users: int
    impressions: int
    clicked: Rate
    bought: Rate


class Results(NamedTuple):
    """What came out. crossed: shoppers who were in more than one group, and so are in none."""

    groups: list[Group]
    crossed: int


class _Estimate(NamedTuple):
    rate: float
    variance: float


def results(impressions: pl.DataFrame, interactions: pl.DataFrame, *, by: str, first: str | None = None) -> Results:
    """Return what came of the lists, by group.

    impressions: with the columns `recommendation_id`, `user_id`, `item_ids` and `by`. interactions: with
    INTERACTION_COLUMNS, of whenever; those of other lists do not matter. by: the column that names the group. first:
    the group that the others are held against; None: the first by name.
    """
    once = impressions.unique("recommendation_id").filter(pl.col(by).is_not_null()).with_columns(group=pl.col(by))
    lists = _with_outcomes(once, interactions)
    crossed = lists.group_by("user_id").agg(pl.col("group").n_unique()).filter(pl.col("group") > 1)
    kept = lists.join(crossed, on="user_id", how="anti")
    users = kept.group_by("group", "user_id").agg(
        pl.len().alias("lists"), pl.col("clicked").sum(), pl.col("bought").sum()
    )
    return Results(compared(users, first=first), len(crossed))


def compared(users: pl.DataFrame, *, first: str | None = None) -> list[Group]:
    """Return the groups of shoppers, the first ahead and the others by name.

    users: a row a shopper: `group`, `lists`, and of these `clicked` and `bought`. first: as for `results`.
    """
    names = sorted(users["group"].unique().to_list(), key=lambda name: (name != first, name))
    members = [users.filter(pl.col("group") == name) for name in names]
    groups = []
    for at, (name, own) in enumerate(zip(names, members, strict=True)):
        clicked, bought = (_rate(own, of, members[0] if at else None) for of in ("clicked", "bought"))
        groups.append(Group(str(name), len(own), int(own["lists"].sum()), clicked, bought))
    return groups


def served_together(impressions: pl.DataFrame) -> pl.DataFrame:
    """Return the lists of the two newest model versions from the time in which both answered; else none.

    Otherwise a better week would look like a better model.
    """
    versions = impressions.filter(pl.col("model_version") > 0)
    newest = versions["model_version"].unique().top_k(2)
    spans = (
        versions.filter(pl.col("model_version").is_in(newest.implode()))
        .group_by("model_version")
        .agg(pl.col("occurred_at").min().alias("since"), pl.col("occurred_at").max().alias("until"))
    )
    if len(spans) < 2:
        return impressions.clear()
    is_within = pl.col("occurred_at").is_between(spans["since"].max(), spans["until"].min())
    return versions.filter(pl.col("model_version").is_in(newest.implode()) & is_within)


def _with_outcomes(impressions: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Return the lists with whether each was clicked, and bought from."""
    shown = impressions.select("recommendation_id", pl.col("item_ids").alias("item_id")).explode("item_id")
    came = (
        interactions.filter(pl.col("kind").is_in(CLICKS))
        .join(shown, on=["recommendation_id", "item_id"], how="semi")
        .group_by("recommendation_id")
        .agg((pl.col("kind") == "purchase").any().alias("bought"))
        .with_columns(clicked=pl.lit(value=True))
    )
    found = impressions.join(came, on="recommendation_id", how="left")
    return found.with_columns(pl.col("clicked", "bought").fill_null(value=False))


def _rate(users: pl.DataFrame, of: str, baseline: pl.DataFrame | None) -> Rate:
    own = _estimate(users, of)
    difference = None if baseline is None else _difference(own, _estimate(baseline, of))
    return Rate(int(users[of].sum()), _wilson(own, len(users)), difference)


def _estimate(users: pl.DataFrame, of: str) -> _Estimate:
    """Return a ratio of sums over shoppers, and its variance by the delta method; NaN for one shopper alone."""
    lists, came = users["lists"].to_numpy().astype(np.float64), users[of].to_numpy().astype(np.float64)
    rate = float(came.sum() / lists.sum())
    residuals: _Floats = came - rate * lists
    count = len(users)
    if count < 2:
        return _Estimate(rate, math.nan)
    return _Estimate(rate, float(count / (count - 1) * (residuals @ residuals) / lists.sum() ** 2))


def _wilson(estimate: _Estimate, users: int) -> Figure:
    """Return Wilson's interval; where nothing varies, shoppers count as the independent lists."""
    rate, variance = estimate
    if math.isnan(variance):
        return Figure(rate, math.nan, math.nan)
    count = rate * (1 - rate) / variance if variance else users
    z = _normal_quantile()
    centre = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return Figure(rate, max(centre - half, 0.0), min(centre + half, 1.0))


def _difference(own: _Estimate, baseline: _Estimate) -> Difference:
    value, deviation = own.rate - baseline.rate, math.sqrt(own.variance + baseline.variance)
    if not deviation > 0:
        return Difference(Figure(value, math.nan, math.nan), math.nan)
    half = _normal_quantile() * deviation
    p_value = 2 * NormalDist().cdf(-abs(value) / deviation)
    return Difference(Figure(value, value - half, value + half), p_value)


def _normal_quantile() -> float:
    return NormalDist().inv_cdf((1 + COVERAGE) / 2)
