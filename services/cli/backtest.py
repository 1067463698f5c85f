"""A policy tried on archived payments, and the tables that show what came out."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import get_args

from rich.table import Table

from services.cli.terminal import plain_table, progress_bar
from services.scoring.policy.backtest import Backtest, Outcome, PastPayment, Tally
from services.scoring.policy.policy import Policy
from services.training.judged import JudgedPayments, Period
from services.training.settings import TrainingSettings
from shared.contracts.events import Verdict
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import MODEL_NAME, Thresholds
from shared.models.registry import Registry
from shared.runtime.settings import ServiceSettings

_FIGURES = ("payments", "a day", "precision", "recall", "fraud, minor units", "genuine, minor units")


def backtested(policy: Policy, home: Path, *, days: int, fallback: Verdict) -> tuple[Period, Outcome]:
    """Judge the newest `days` of archived payments whose labels are known, with a progress bar.

    Raises:
        RefusedError: there are none, or the archive cannot be read.
        ModelIntegrityError, RegistryUnavailableError: the thresholds of a model that scored them cannot be had.
    """
    past = JudgedPayments(home, FRAUD)
    delay = timedelta(days=TrainingSettings(headrace_home=home).headrace_training_label_delay_days)
    period = past.matured(days=days, label_delay=delay)
    thresholds_of = _thresholds(home) if policy.document.numbers is None else lambda _: None
    trial = Backtest(policy, fallback=fallback)
    with progress_bar() as bar:
        task = bar.add_task("backtest", total=len(period.days), told="")
        for day, payments in zip(period.days, past.by_day(period), strict=True):
            trial.add(
                PastPayment(
                    vector=vector,
                    score=row["score"],
                    thresholds=thresholds_of(row["model_version"]),
                    listed=row["lists"],
                    decided=row["decision"],
                    is_fraud=row["is_fraud"],
                )
                for vector, row in payments
            )
            bar.update(task, advance=1, told=f"{day}")
    return period, trial.outcome()


def tables(period: Period, outcome: Outcome) -> Iterator[Table]:
    """Yield what came out: by verdict, then and with this policy, and by rule."""
    days = len(period.days)
    table = plain_table(f"{outcome.every.payments:,} payments from {period.since} to {period.until}", *_FIGURES)
    for verdict in reversed(get_args(Verdict)):
        for told, tallies in ((f"{verdict}, then", outcome.by_verdict_then), (f"{verdict}, now", outcome.by_verdict)):
            table.add_row(told, *_figures(tallies.get(verdict, Tally()), outcome.every, days))
    yield table
    if not outcome.by_rule:
        return
    table = plain_table("rule", *_FIGURES, "not evaluated")
    for code, tally in outcome.by_rule.items():
        table.add_row(code, *_figures(tally, outcome.every, days), f"{outcome.failures.get(code, 0):,}")
    yield table


def _figures(tally: Tally, every: Tally, days: int) -> list[str]:
    return [
        f"{tally.payments:,}",
        f"{tally.payments / days:,.1f}",
        _share(tally.precision),
        _share(tally.recall(every)),
        f"{tally.fraud_minor_units:,}",
        f"{tally.genuine_minor_units:,}",
    ]


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _thresholds(home: Path) -> Callable[[int], Thresholds | None]:
    """Return what gives the thresholds that came with a version; None for version 0, which is no model."""
    registry = Registry(home, tracking_uri=ServiceSettings().mlflow_tracking_uri)

    @cache
    def of(version: int) -> Thresholds | None:
        return registry.manifest(MODEL_NAME, version).thresholds if version else None

    return of
