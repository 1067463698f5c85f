"""The report on the models in force: one HTML page that needs nothing else, for whoever was told of an alarm."""

import base64
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.drift.evidence import by_chance
from services.drift.shown import plots
from services.drift.shown.status import ModelStatus, Snapshot
from services.drift.signals import Distribution, Signal

DISTRIBUTIONS_DRAWN = 12
_SIGNALS_LED = 12
_ESTIMATED = "estimated_"
_FAMILIES = {
    "performance": "what labels tell: fraud that is missed, alarms that are wrong, scores that are off",
    "data": "each feature and the score by itself, everywhere and by segment",
    "together": "all features at once: can a classifier tell payments now from those of training?",
    "faults": "feeds that went silent, constant or empty at once",
    "click_through": "how many lists of recommendations are clicked",
    "coverage": "how much of the catalogue is recommended",
}
"""What each family of watches looks at."""


class Picture(NamedTuple):
    """A picture and what to see in it."""

    uri: str
    caption: str


class Row(NamedTuple):
    """A quantity of the table of distributions, and the loudest signal about it, where there is one."""

    distribution: Distribution
    signal: Signal | None


class ModelPage(NamedTuple):
    """What the page shows of one model.

    rows: most evidence first. others: signals that are no quantity of `rows`.
    """

    status: ModelStatus
    pictures: list[Picture]
    drawn: list[Picture]
    leading: list[Signal]
    rows: list[Row]
    others: list[Signal]


def report_of(snapshot: Snapshot) -> str:
    """Return the page, complete and self-contained; every text in it is escaped."""
    pages = [_page(status) for status in snapshot.models]
    template = _environment().get_template("report.html.j2")
    return template.render(taken_at=snapshot.taken_at, pages=pages, families=_FAMILIES)


def _page(status: ModelStatus) -> ModelPage:
    rows = _rows(status)
    quantities = {row.distribution.name for row in rows}
    return ModelPage(
        status=status,
        pictures=_pictures(status),
        drawn=[_drawn(row) for row in rows[:DISTRIBUTIONS_DRAWN]],
        leading=status.leading(_SIGNALS_LED),
        rows=rows,
        others=[signal for signal in status.signals if signal.name not in quantities],
    )


def _rows(status: ModelStatus) -> list[Row]:
    loudest: dict[str, Signal] = {}
    for signal in status.signals:
        known = loudest.get(signal.name)
        if known is None or signal.evidence_days > known.evidence_days:
            loudest[signal.name] = signal
    rows = [Row(it, loudest.get(it.name)) for it in status.distributions]
    return sorted(rows, key=lambda row: (-(row.signal.evidence_days if row.signal else 0), -row.distribution.psi))


def _pictures(status: ModelStatus) -> list[Picture]:
    found = []
    if status.families:
        png = plots.evidence(status.families)
        found.append(_picture(png, "A bar that reaches its black mark is an alarm. Orange: it has."))
    seen = [it for it in status.signals if _is_promised(it) and None not in (it.value, it.expected)]
    if seen:
        png = plots.expected_and_seen(seen)
        found.append(
            _picture(png, "The further a point is from its mark, the further things are from what was promised.")
        )
    if status.distributions:
        alarmed = frozenset(signal.name for signal in status.signals if signal.state == "alarmed")
        told = "Below 0.1 hardly anybody would notice, above 0.25 it is another population. Size alone is no alarm."
        found.append(_picture(plots.moved_most(status.distributions, alarmed), told))
    return found


def _is_promised(signal: Signal) -> bool:
    """Whether it is about what the model was promised to do, measured or estimated: all shares."""
    return signal.kind == "performance" or signal.name.startswith(_ESTIMATED)


def _drawn(row: Row) -> Picture:
    of, signal = row
    told = f"{of.name}: population stability index {of.psi:.2f}"
    if signal is not None and signal.evidence_days > 0:
        where = f" in {signal.segment}" if signal.segment else ""
        since = f", since {day(signal.since)}" if signal.since else ""
        told += f"; by chance so much evidence{where} comes up {by_chance(signal.evidence_days)}{since}"
    return _picture(plots.then_and_now(of), f"{told}.")


def _picture(png: bytes, caption: str) -> Picture:
    return Picture(f"data:image/png;base64,{base64.b64encode(png).decode()}", caption)


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"utc": utc, "day": day, "number": number, "share": share, "by_chance": by_chance}
    return found


def utc(time: datetime | None) -> str:
    """Return a time to the minute, as text."""
    return "unknown" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(time: datetime | None) -> str:
    """Return the day of a time, as text; empty where there is none."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d}"


def number(value: float | None) -> str:
    """Return a figure with three digits that count, as text; empty where there is none."""
    return "" if value is None or math.isnan(value) else f"{value:,.3g}"


def share(part: float) -> str:
    """Return a share in per cent, as text."""
    return f"{part:.2%}" if part else "0"
