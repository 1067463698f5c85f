"""`headrace features`: vectors of archived payments computed again, and the ledger of late ones."""

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli.terminal import HOME, Home, console, plain_table, progress_bar
from services.training import backfill as recompute
from services.training.archive import Archive
from services.training.ledger import ledger as late_payments
from shared.features.catalog.fraud import FRAUD

features = typer.Typer(
    name="features", help="What models are fed: recompute it, and look at what came late.", no_args_is_help=True
)

_VERSION_DIGITS = 12


@features.callback()
def _group() -> None:
    """Keep `features` a group, however few commands it has."""


@features.command()
def backfill(
    home: Home = HOME,
    *,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="First day of payments, in UTC; by default all."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Write every vector into this Parquet file, and leave the archive alone.",
        ),
    ] = None,
) -> None:
    """Compute the vectors that archived payments lack in the current feature version.

    Point in time: each as it would have been served. Training finds them beside the served ones, once each.
    """
    if out is not None and not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.absolute().parent}; make it first", param_hint="--out")
    archive, first = Archive(home / "archive", [FRAUD]), _day(since)
    started = time.monotonic()
    with progress_bar() as bar:
        task = bar.add_task("backfill", total=1.0, told="")

        def show(progress: recompute.Progress) -> None:
            bar.update(task, completed=progress.fraction, told=f"{progress.rows:,} vectors")

        if out is None:
            rows = recompute.fill_archive(archive, FRAUD, since=first, show=show)
        else:
            rows = recompute.write_file(archive, FRAUD, out.absolute(), since=first, show=show)
        bar.update(task, completed=1.0)
    seconds = time.monotonic() - started
    where = "the archive" if out is None else str(out)
    console.print(
        f"Wrote {rows:,} vectors of version {FRAUD.version[:_VERSION_DIGITS]} into {where} in {seconds:.1f} s.",
        markup=False,
        soft_wrap=True,
    )


@features.command()
def ledger(
    home: Home = HOME,
    *,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="First day of payments, in UTC; by default all."),
    ] = None,
) -> None:
    """Show how many payments came late, how late, and what had been decided without them.

    Late: after a newer payment of the same card, merchant, device or user.
    """
    found = late_payments(Archive(home / "archive", [FRAUD]), since=_day(since))
    table = plain_table("late by", "payments", "decisions they would have changed")
    for row in found.late:
        table.add_row(row.lateness, f"{row.payments:,}", f"{row.outdated:,}")
    console.print(table)
    late = sum(row.payments for row in found.late)
    console.print(f"{late:,} of {found.payments:,} archived payments came late.")
    console.print("Duplicates change nothing and are not archived: headrace_duplicates_total counts them.")


def _day(since: datetime | None) -> date:
    return date.min if since is None else since.replace(tzinfo=UTC).date()
