"""`headrace experiments`: what came of an experiment on recommendations, or of two models side by side."""

import math
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated

import polars as pl
import typer
from rich.table import Table

from services.cli.terminal import HOME, Home, console, plain_table
from services.scoring.recommendations.experiments import CONTROL
from services.training.archive import Archive
from services.training.recommendation.experiment_results import (
    IMPRESSION_COLUMNS,
    INTERACTION_COLUMNS,
    Figure,
    Group,
    Rate,
    Results,
    results,
    served_together,
)
from services.training.refusal import RefusedError
from shared.contracts.topics import IMPRESSIONS, INTERACTIONS
from shared.features.catalog.fraud import FRAUD

experiments = typer.Typer(name="experiments", help="What came of experiments on recommendations.", no_args_is_help=True)


class _By(StrEnum):
    ARM = "arm"
    MODEL = "model"


_Name = Annotated[str | None, typer.Argument(metavar="NAME", help="The experiment, as its policy names it.")]
_Grouping = Annotated[
    _By, typer.Option("--by", help="arm: those of the experiment. model: the two newest versions, while both answered.")
]
_Days = Annotated[int, typer.Option(min=1, help="How many days of lists, the newest in the archive.")]


@experiments.callback()
def _group() -> None:
    """Keep `experiments` a group, however few commands it has."""


@experiments.command()
def show(name: _Name = None, home: Home = HOME, *, by: _Grouping = _By.ARM, days: _Days = 30) -> None:
    """Show how often lists were clicked and bought from, by arm or by model, and whether the difference is sure."""
    archive = Archive(home / "archive", [FRAUD])
    since, until = _period(archive, days)
    impressions = _by_arm(archive, name, since) if by is _By.ARM else _by_model(archive, name, since)
    is_of_list = pl.col("recommendation_id").is_not_null()
    interactions = archive.rows(INTERACTIONS, INTERACTION_COLUMNS, since=since, only=is_of_list)
    column, first = ("arm", CONTROL) if by is _By.ARM else ("model_version", None)
    found = results(impressions, interactions, by=column, first=first)
    console.print(_table("clicked", by, found, [group.clicked for group in found.groups]))
    console.print()
    console.print(_table("bought", by, found, [group.bought for group in found.groups]))
    versions = ", ".join(map(str, sorted(impressions["policy_version"].unique())))
    console.print(
        f"\nLists from {since} to {until}, under policy version {versions}; intervals of 95 %, by shopper; "
        f"{found.crossed:,} shoppers were in more than one group and are left out.",
        soft_wrap=True,
    )


def _period(archive: Archive, days: int) -> tuple[date, date]:
    dates = archive.dates(IMPRESSIONS)
    if not dates:
        raise RefusedError("no_impressions", "no list that was shown is archived; start the training service")
    return dates[-1] - timedelta(days=days - 1), dates[-1]


def _by_arm(archive: Archive, name: str | None, since: date) -> pl.DataFrame:
    lists = archive.rows(IMPRESSIONS, IMPRESSION_COLUMNS, since=since, only=pl.col("experiment").is_not_null())
    found = lists.filter(pl.col("experiment") == (name or ""))
    if found.is_empty():
        names = ", ".join(sorted(lists["experiment"].unique())) or "none"
        told = f"no list of {name} since {since}" if name else "name an experiment"
        raise RefusedError("no_experiment", f"{told}; in the archive: {names}")
    return found


def _by_model(archive: Archive, name: str | None, since: date) -> pl.DataFrame:
    only = None if name is None else pl.col("experiment") == name
    found = served_together(archive.rows(IMPRESSIONS, IMPRESSION_COLUMNS, since=since, only=only))
    if found.is_empty():
        told = "no two model versions answered at the same time; `headrace models canary` gives a new one a share"
        raise RefusedError("no_two_models", told)
    return found


def _table(what: str, by: _By, found: Results, rates: list[Rate]) -> Table:
    table = plain_table(by.value, "shoppers", "lists", what, "share", "95 %", "difference", "95 %", "p")
    for group, rate in zip(found.groups, rates, strict=True):
        table.add_row(*_cells(group, rate))
    return table


def _cells(group: Group, rate: Rate) -> list[str]:
    cells = [group.name, f"{group.users:,}", f"{group.impressions:,}", f"{rate.lists:,}"]
    cells += [f"{rate.rate.value:.2%}", _interval(rate.rate, "")]
    if rate.difference is None:
        return cells
    figure, p_value = rate.difference
    return [*cells, f"{figure.value:+.2%}", _interval(figure, "+"), "-" if math.isnan(p_value) else f"{p_value:.3f}"]


def _interval(figure: Figure, sign: str) -> str:
    return "-" if math.isnan(figure.low) else f"{figure.low:{sign}.2%} to {figure.high:{sign}.2%}"
