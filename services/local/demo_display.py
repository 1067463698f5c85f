"""What the demo shows: live bars and tables on a terminal, plain lines anywhere else."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

_ROWS_SHOWN = 12
_PLAIN_ROWS_PER_HEADER = 20
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


@dataclass(frozen=True)
class LiveRow:
    """One second of live traffic; precision and recall look back over a sliding window."""

    second: int
    simulated: datetime | None
    payments: int
    decisions: int
    latency_ms: tuple[float, float] | None
    alerts: int
    precision: float | None
    recall: float | None
    model_version: int

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, a cell a column."""
        p50, p99 = ("-", "-") if self.latency_ms is None else (f"{value:.0f}" for value in self.latency_ms)
        return (
            str(self.second),
            "-" if self.simulated is None else f"{self.simulated:%d %b %H:%M}",
            str(self.payments),
            str(self.decisions),
            p50,
            p99,
            str(self.alerts),
            ratio(self.precision),
            ratio(self.recall),
            str(self.model_version),
        )


@dataclass(frozen=True)
class SummaryRow:
    """One stretch of the demo: who decided, and how well."""

    stretch: str
    model_version: str
    payments: int
    frauds: int
    recall: float | None
    recall_new_pattern: float | None
    precision: float | None
    latency_ms: tuple[float, float] | None


def ratio(value: float | None) -> str:
    """Return a share as two decimals, or a dash."""
    return "-" if value is None else f"{value:.2f}"


class DemoDisplay:
    """Prints the demo's phases to one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: deque[LiveRow] = deque(maxlen=_ROWS_SHOWN)
        self._rows_printed = 0
        self._live: Live | None = None

    def phase(self, title: str) -> None:
        """Begin a phase."""
        self._console.print(f"\n[bold cyan]{title}[/]")

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

    def row(self, row: LiveRow, status: str) -> None:
        """Show one more second, and what is being waited for."""
        self._rows.append(row)
        if self._live is not None:
            self._live.update(Group(self._table(), f"  [dim]{status}[/]"))
            return
        widths = [width for _, width in _COLUMNS]
        if self._rows_printed % _PLAIN_ROWS_PER_HEADER == 0:
            self._plain([name for name, _ in _COLUMNS], widths)
        self._plain(row.cells(), widths)
        self._rows_printed += 1

    def summary(self, rows: list[SummaryRow], facts: list[tuple[str, str]]) -> None:
        """Print how it went."""
        table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
        for name in ("", "model", "payments", "fraud", "recall", "of new", "precision", "p50 ms", "p99 ms"):
            table.add_column(name, justify="right" if name else "left", no_wrap=True)
        for row in rows:
            p50, p99 = ("-", "-") if row.latency_ms is None else (f"{value:.0f}" for value in row.latency_ms)
            table.add_row(
                row.stretch,
                row.model_version,
                f"{row.payments:,}",
                f"{row.frauds:,}",
                ratio(row.recall),
                ratio(row.recall_new_pattern),
                ratio(row.precision),
                p50,
                p99,
            )
        self._console.print()
        self._console.print(table)
        for name, text in facts:
            self._console.print(f"  {name:<22}{text}", highlight=False)

    def _table(self) -> RenderableType:
        table = Table(box=None, padding=(0, 1, 0, 0))  # ten columns in eighty characters
        for name, width in _COLUMNS:
            table.add_column(name, justify="right", min_width=width, no_wrap=True)
        for row in self._rows:
            table.add_row(*row.cells())
        return table

    def _plain(self, cells: tuple[str, ...] | list[str], widths: list[int]) -> None:
        line = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        self._console.print(f"  {line}", highlight=False, soft_wrap=True)
