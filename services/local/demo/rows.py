"""Rows of the tables that the demo shows."""

from dataclasses import dataclass
from datetime import datetime


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
        return (
            str(self.second),
            "-" if self.simulated is None else f"{self.simulated:%d %b %H:%M}",
            str(self.payments),
            str(self.decisions),
            *milliseconds(self.latency_ms),
            str(self.alerts),
            ratio(self.precision),
            ratio(self.recall),
            str(self.model_version),
        )


@dataclass(frozen=True)
class ShopRow:
    """One second of live shoppers.

    click_through: over a sliding window. told_ms: median time from a click taken to an answer without its item.
    bought_shown: items offered, up to now, to who had bought them.
    """

    second: int
    lists: int
    latency_ms: tuple[float, float] | None
    click_through: float | None
    told_ms: float | None
    bought_shown: int
    model_version: int

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, a cell a column."""
        return (
            str(self.second),
            str(self.lists),
            *milliseconds(self.latency_ms),
            ratio(self.click_through),
            "-" if self.told_ms is None else f"{self.told_ms:.0f}",
            str(self.bought_shown),
            str(self.model_version),
        )


@dataclass(frozen=True)
class ShopSummaryRow:
    """One stretch of the demo's shop: who chose, and how well."""

    stretch: str
    model_version: str
    lists: int
    click_through: float | None
    bought_shown: int
    latency_ms: tuple[float, float] | None


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


@dataclass(frozen=True)
class Summary:
    """Rows by stretch and model version, and single facts; shop_rows: none where there is no shop."""

    rows: list[SummaryRow]
    shop_rows: list[ShopSummaryRow]
    facts: list[tuple[str, str]]


def ratio(value: float | None) -> str:
    """Return a share as two decimals, or a dash."""
    return "-" if value is None else f"{value:.2f}"


def milliseconds(latency_ms: tuple[float, float] | None) -> tuple[str, str]:
    """Return two percentiles as text, or dashes."""
    return ("-", "-") if latency_ms is None else (f"{latency_ms[0]:.0f}", f"{latency_ms[1]:.0f}")
