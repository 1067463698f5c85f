"""What the demo shows: live bars and tables on a terminal, plain lines anywhere else."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.local.addresses import Addresses, shown_addresses
from services.local.demo.rows import LiveRow, ShopRow, Summary, milliseconds, ratio

_ROWS_SHOWN = 12
_SHOP_ROWS_SHOWN = 4
_PLAIN_ROWS_PER_HEADER = 20
_PLAIN_ROWS_PER_SHOP_ROW = 10
_COLUMNS = (
    ("second", 6),
    ("simulated", 12),
    ("made", 4),
    ("decided", 7),
    ("p50 ms", 6),
    ("p99 ms", 6),
    ("alerts", 6),
    ("precision", 9),
    ("recall", 6),
    ("model", 5),
)
_SHOP_COLUMNS = (
    ("shoppers: second", 16),
    ("lists", 5),
    ("p50 ms", 6),
    ("p99 ms", 6),
    ("clicked", 7),
    ("click told ms", 13),
    ("bought shown", 12),
    ("model", 5),
)


class DemoDisplay:
    """Prints the demo's phases to one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: deque[LiveRow] = deque(maxlen=_ROWS_SHOWN)
        self._shop_rows: deque[ShopRow] = deque(maxlen=_SHOP_ROWS_SHOWN)
        self._rows_printed = 0
        self._live: Live | None = None

    def phase(self, title: str) -> None:
        """Begin a phase."""
        self._console.print(f"\n[bold cyan]{title}[/]")

    def addresses(self, addresses: Addresses) -> None:
        """Print where everything answers while the demo runs."""
        for name, address in shown_addresses(addresses):
            self.say(f"[dim]{name:<12}{address}[/]")

    def say(self, text: str) -> None:
        """Print a line; above the live table where there is one."""
        self._console.print(f"  {text}", highlight=False)

    def done(self, text: str) -> None:
        """Print a step that is behind us."""
        self.say(f"[green]✓[/] {escape(text)}")

    def fail(self, text: str) -> None:
        """Print why the demo ends early."""
        self._console.print(f"\n[bold red]The demo failed:[/] {text}", highlight=False)

    @contextmanager
    def bars(self) -> Iterator[Progress]:
        """Show progress bars for as long as the context lasts."""
        with Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
        ) as progress:
            yield progress

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show a live table for as long as the context lasts."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=4) as self._live:
            yield
        self._live = None

    def row(self, row: LiveRow, status: str, shop: ShopRow | None) -> None:
        """Show one more second, and what is being waited for."""
        self._rows.append(row)
        if shop is not None:
            self._shop_rows.append(shop)
        if self._live is not None:
            tables = [_table(_COLUMNS, self._rows)]
            if self._shop_rows:
                tables.append(_table(_SHOP_COLUMNS, self._shop_rows))
            self._live.update(Group(*tables, f"  [dim]{status}[/]"))
            return
        if self._rows_printed % _PLAIN_ROWS_PER_HEADER == 0:
            self._plain(_COLUMNS, [name for name, _ in _COLUMNS])
        self._plain(_COLUMNS, row.cells())
        if shop is not None and self._rows_printed % _PLAIN_ROWS_PER_SHOP_ROW == 0:
            self._plain(_SHOP_COLUMNS, [name for name, _ in _SHOP_COLUMNS])
            self._plain(_SHOP_COLUMNS, shop.cells())
        self._rows_printed += 1

    def summary(self, summary: Summary) -> None:
        """Print how it went."""
        table = _summary_table("", "model", "payments", "fraud", "recall", "of new", "precision", "p50 ms", "p99 ms")
        for row in summary.rows:
            table.add_row(
                row.stretch,
                row.model_version,
                f"{row.payments:,}",
                f"{row.frauds:,}",
                ratio(row.recall),
                ratio(row.recall_new_pattern),
                ratio(row.precision),
                *milliseconds(row.latency_ms),
            )
        shop = _summary_table("shoppers", "model", "lists", "clicked", "bought shown", "p50 ms", "p99 ms")
        for one in summary.shop_rows:
            shop.add_row(
                one.stretch,
                one.model_version,
                f"{one.lists:,}",
                ratio(one.click_through),
                str(one.bought_shown),
                *milliseconds(one.latency_ms),
            )
        self._console.print()
        self._console.print(table)
        if summary.shop_rows:
            self._console.print(shop)
        for name, text in summary.facts:
            self._console.print(f"  {name:<22}{text}", highlight=False)

    def _plain(self, columns: Sequence[tuple[str, int]], cells: Sequence[str]) -> None:
        line = "  ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, columns, strict=True))
        self._console.print(f"  {line}", highlight=False, soft_wrap=True)


def _table(columns: Sequence[tuple[str, int]], rows: Iterable[LiveRow | ShopRow]) -> RenderableType:
    table = Table(box=None, padding=(0, 1, 0, 0))  # ten columns in eighty characters
    for name, width in columns:
        table.add_column(name, justify="right", min_width=width, no_wrap=True)
    for row in rows:
        table.add_row(*row.cells())
    return table


def _summary_table(*names: str) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for at, name in enumerate(names):
        table.add_column(name, justify="right" if at else "left", no_wrap=True)
    return table
