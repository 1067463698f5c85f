"""`headrace logs`: one payment's way, over topics and through the services' logs."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from services.cli.event_files import duration
from services.cli.terminal import HOME, Home, console, errors, open_bus, plain_table
from services.local.errors import PlatformError
from services.local.payment_trace import Found, Seen, ids_of, in_logs, on_the_log, told_of
from shared.bus.base import BusUnavailableError
from shared.runtime.clock import SystemClock

_BACK = timedelta(hours=1)


def logs(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Trace, payment (transaction or event) or decision id.")],
    source: Annotated[
        str | None,
        typer.Argument(metavar="LOGS", help="- for standard input, or a file or folder; otherwise <home>/logs."),
    ] = None,
    home: Home = HOME,
    *,
    since: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help="How far back the topics are read; by default 1h."),
    ] = None,
) -> None:
    """Show what topics and services say of one payment, in order of time, with the milliseconds since it came.

    A vector and a decision carry the time of their payment, so that its age can be told; they have none of their own.

    As in: docker compose logs --no-color | headrace logs ID -
    """
    back = since or _BACK
    found = _on_the_log(wanted, home, back)
    seen = [told_of(each) for each in found]
    with _lines(source, home) as lines:
        seen += in_logs(lines, {wanted, *ids_of(found)})
    if not seen:
        raise PlatformError(
            f"neither the topics of the last {back} nor the logs speak of {wanted}: --since 7d reads further back; a "
            "service that has nothing to say of a payment logs nothing"
        )
    _show(sorted(seen))


def _on_the_log(wanted: str, home: Path, since: timedelta) -> list[Found]:
    try:
        with contextlib.closing(open_bus(home)) as bus:
            return on_the_log(bus, wanted, since=SystemClock().now() - since)
    except (PlatformError, BusUnavailableError) as error:
        errors.print(f"without the topics: {error}", style="yellow", markup=False, soft_wrap=True)
        return []


@contextlib.contextmanager
def _lines(source: str | None, home: Path) -> Iterator[Iterable[str]]:
    if source == "-":
        yield sys.stdin
        return
    path = home / "logs" if source is None else Path(source)
    if source is not None and not path.exists():
        raise PlatformError(f"there are no logs at {path}")
    files = [path] if path.is_file() else sorted(path.rglob("*.log*"))
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(file.open(errors="replace")) for file in files if file.is_file()]
        yield (line for file in opened for line in file)


def _show(seen: list[Seen]) -> None:
    first = seen[0].at
    console.print(f"since {first:%Y-%m-%d %H:%M:%S.%f}Z", markup=False)
    table = plain_table("ms", "where", "what")
    for one in seen:
        told = f"[red]{escape(one.told)}[/]" if one.is_grave else escape(one.told)
        after = f"{(one.at - first) / timedelta(milliseconds=1):,.0f}" if one.is_timed else ""
        table.add_row(after, escape(one.where), told)
    console.print(table)
