"""`headrace replay FILE`: feed a file of events through ingest."""

import contextlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from services.cli.event_files import (
    AmountUnit,
    Columns,
    Constants,
    Delay,
    File,
    FraudColumn,
    Since,
    Sort,
    Unit,
    Until,
    duration,
    pairs,
)
from services.cli.terminal import HOME, Home, console, errors, progress_bar
from services.ingest.replay import ReplayError, ReplayPlan, ReplayProgress, ReplaySummary
from services.ingest.replay import replay as run_replay
from services.local.discovery import discover, url_variable
from shared.files.event_file import FileError
from shared.runtime.clock import SystemClock


class TopicName(StrEnum):
    """What a file may hold."""

    TRANSACTIONS = "transactions"
    LABELS = "labels"
    INTERACTIONS = "interactions"
    ITEMS = "items"
    USERS = "users"


_UNDATED = {TopicName.ITEMS, TopicName.USERS}
"""What is known of them is so from now on, unless the file says otherwise."""


_Topic = Annotated[TopicName, typer.Option(help="What the rows are.")]
_AfterEnd = Annotated[
    bool, typer.Option("--labels-after-end", help="Send also the labels that fall behind the last payment.")
]
_Speed = Annotated[float, typer.Option(min=0, help="Seconds of event time per second; 0 is as fast as ingest accepts.")]
_Rate = Annotated[float, typer.Option(min=0, help="Events per second instead; 0 is no limit.")]
_Batch = Annotated[int, typer.Option(min=1, help="Most events in one request.")]
_Url = Annotated[str | None, typer.Option("--url", help="Address of ingest; by default that of the running platform.")]
_ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_API_KEY", show_envvar=True, help="Where ingest asks for one; better in the variable."
    ),
]
_Restart = Annotated[bool, typer.Option("--restart", help="Begin again instead of where the last run stopped.")]


def replay(  # noqa: PLR0913 - a command's parameters are its options
    file: File,
    *,
    topic: _Topic = TopicName.TRANSACTIONS,
    columns: Columns = None,
    constants: Constants = None,
    amount_unit: Unit = AmountUnit.MINOR,
    since: Since = None,
    until: Until = None,
    fraud_column: FraudColumn = None,
    label_delay: Delay = "7d",
    labels_after_end: _AfterEnd = False,
    sort: Sort = False,
    speed: _Speed = 0.0,
    rate: _Rate = 0.0,
    batch: _Batch = 1_000,
    url: _Url = None,
    api_key: _ApiKey = None,
    home: Home = HOME,
    restart: _Restart = False,
) -> None:
    """Feed FILE through ingest, in event-time order.

    Interrupted, it goes on where it stopped when run again; repeating an event changes nothing. Items and users need
    no time: without one, what the file says is so from now on. An item's categories stand in one cell, as shoes|sale.

    Example: headrace replay payments.csv --map card_id=CUSTOMER --set currency=EUR --amount-unit major
    """
    with _problems_told():
        plan = ReplayPlan(
            file=file,
            topic=topic.value,
            columns=pairs("--map", columns or []),
            constants=pairs("--set", constants or []),
            amount_unit=amount_unit.value,
            undated_at=SystemClock().now() if topic in _UNDATED else None,
            since=since,
            until=until,
            fraud_column=fraud_column,
            label_delay=duration(label_delay),
            labels_after_end=labels_after_end,
            sort=sort,
            speed=speed,
            rate=rate,
            batch_events=batch,
        )
        base_url = url or _running_ingest(home)
        run = partial(run_replay, plan, base_url=base_url, home=home, api_key=api_key, restart=restart)
        _print_summary(_with_progress_bar(file.name, run))


@contextlib.contextmanager
def _problems_told() -> Iterator[None]:
    try:
        yield
    except (FileError, ReplayError) as error:
        errors.print(f"headrace replay: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        errors.print("Stopped. The same command goes on from here; --restart begins again.")
        raise typer.Exit(130) from None


def _running_ingest(home: Path) -> str:
    url = discover(home).services.get("ingest")
    if url is None:
        raise ReplayError(f"the address of ingest is not known; give it with --url, or set {url_variable('ingest')}")
    return url


def _with_progress_bar(name: str, run: Callable[..., ReplaySummary]) -> ReplaySummary:
    with progress_bar() as bar:
        task = bar.add_task(name, total=1.0, told="")

        def show(progress: ReplayProgress) -> None:
            told = f"{progress.accepted:,} accepted, {progress.rejected:,} refused"
            if progress.occurred_at is not None:
                told += f", at {progress.occurred_at:%Y-%m-%d %H:%M}"
            if progress.waiting is not None:
                told += f"; waiting for ingest: {progress.waiting}"
            bar.update(task, completed=progress.fraction, told=told)

        return run(progress=show)


def _print_summary(summary: ReplaySummary) -> None:
    sent = sum(summary.sent.values())
    parts = ", ".join(f"{count:,} {topic}" for topic, count in summary.sent.items()) or "nothing"
    console.print(f"Sent {parts} in {summary.seconds:.1f} s ({sent / max(summary.seconds, 1e-9):,.0f} a second).")
    if summary.resumed:
        console.print(f"Went on behind {summary.resumed:,} events of earlier runs; {summary.accepted:,} in all.")
    if summary.rejected_file is not None:
        console.print(f"Refused {summary.rejected:,}; each stands with its reason in {summary.rejected_file}")
