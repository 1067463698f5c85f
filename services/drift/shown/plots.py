"""Pictures of what the drift service sees, as PNG bytes, in colours that the colour-blind can tell apart.

Then is grey, now blue, alarmed orange (Okabe and Ito, "Color Universal Design", 2008).
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator, PercentFormatter

from services.drift.shown.status import Family
from services.drift.signals import Distribution, Signal

BLUE, ORANGE, GREY, LIGHT = "#0072B2", "#D55E00", "#6b7280", "#b6bcc4"
ROWS_MAX = 20
BINS_NAMED_MAX = 16
_NAME_CHARACTERS_MAX, _TITLE_CHARACTERS_MAX = 26, 60
_EVIDENCE_DAYS_MIN = 0.1
_OVER_THRESHOLD_MAX = 100.0


def evidence(families: Sequence[Family]) -> bytes:
    """Return the evidence of each family as a bar, on a logarithmic axis of days, beside what raises an alarm."""
    figure, axes = _figure(height=1.2 + 0.5 * len(families))
    shown = families[::-1]
    thresholds = np.array([family.threshold_days for family in shown])
    # Beyond that a longer bar says no more, and would squeeze the others.
    days = np.clip([family.evidence_days for family in shown], _EVIDENCE_DAYS_MIN, thresholds * _OVER_THRESHOLD_MAX)
    colours = [ORANGE if family.is_alarmed else BLUE for family in shown]
    places = np.arange(len(shown))
    axes.barh(places, days, color=colours, height=0.55)
    axes.vlines(thresholds, places - 0.38, places + 0.38, color="black", linewidth=2, label="raises an alarm")
    axes.set_yticks(places, [_plain(family.name) for family in shown])
    axes.set(xscale="log", xlabel="days of an all-well stream that this much evidence takes on average")
    axes.set_xlim(_EVIDENCE_DAYS_MIN, max(thresholds.max(), days.max()) * 3)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(-0.01, 0.99))
    return _png(figure, axes, "Evidence", title_above=True)


def moved_most(distributions: Sequence[Distribution], alarmed: frozenset[str]) -> bytes:
    """Return the quantities that moved most as bars of their population stability index, the largest first."""
    shown = sorted(distributions, key=lambda it: it.psi)[-ROWS_MAX:]
    figure, axes = _figure(height=1.2 + 0.27 * len(shown))
    colours = [ORANGE if it.name in alarmed else BLUE for it in shown]
    axes.barh([_plain(it.name) for it in shown], [it.psi for it in shown], color=colours, height=0.7)
    axes.set(xlabel="population stability index, now against training", xlim=(0, None))
    keys = [Patch(color=ORANGE, label="an alarm is about it"), Patch(color=BLUE, label="no alarm")]
    axes.legend(handles=keys, frameon=False, fontsize=9, loc="lower right")
    return _png(figure, axes, "What moved most")


def then_and_now(of: Distribution) -> bytes:
    """Return the share of payments in each bin, then and now, with the bins' names below."""
    figure, axes = _figure(width=5.2, height=3.3)
    places = np.arange(len(of.bins))
    axes.bar(places - 0.2, of.was, width=0.4, color=LIGHT, label="at training")
    axes.bar(places + 0.2, of.now, width=0.4, color=BLUE, label=f"now ({of.samples:,})")
    every = -(-len(of.bins) // BINS_NAMED_MAX)
    names = [_plain(name) for name in of.bins[::every]]
    axes.set_xticks(places[::every], names, rotation=40, ha="right", rotation_mode="anchor", fontsize=7.5)
    axes.set_ylim(0, max(*of.was, *of.now, 1e-9) * 1.18)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    return _png(figure, axes, of.name)


def expected_and_seen(signals: Sequence[Signal]) -> bytes:
    """Return what is seen of each signal beside what it is held against: a line from one to the other.

    signals: with value and expected.
    """
    shown = signals[:ROWS_MAX][::-1]
    figure, axes = _figure(height=1.3 + 0.34 * len(shown))
    places = np.arange(len(shown))
    expected = np.array([signal.expected for signal in shown], dtype=np.float64)
    seen = np.array([signal.value for signal in shown], dtype=np.float64)
    colours = [ORANGE if signal.state == "alarmed" else BLUE for signal in shown]
    axes.hlines(places, expected, seen, color=LIGHT, linewidth=3)
    axes.scatter(expected, places, marker="|", s=170, linewidths=2.5, color="black", zorder=2)
    axes.scatter(seen, places, s=48, color=colours, zorder=3)
    axes.set_yticks(range(len(shown)), [_plain(" ".join(filter(None, (it.name, it.segment)))) for it in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(0, 1.05 * max(expected.max(), seen.max(), 1e-9))
    axes.scatter([], [], marker="|", s=120, linewidths=2.5, color="black", label="expected")
    axes.scatter([], [], color=BLUE, label="now")
    axes.scatter([], [], color=ORANGE, label="now, alarmed")
    axes.legend(frameon=False, fontsize=9, ncols=3, loc="lower left", bbox_to_anchor=(-0.01, 0.99))
    return _png(figure, axes, "Expected and seen", title_above=True)


def _figure(*, width: float = 6.4, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _plain(text: str, characters_max: int = _NAME_CHARACTERS_MAX) -> str:
    """Return a name as it can be drawn: cut, and without what would be read as a formula."""
    cut = text if len(text) <= characters_max else text[: characters_max - 1] + "…"
    return "".join(character if character.isprintable() else " " for character in cut).replace("$", r"\$")


def _png(figure: Figure, axes: Axes, title: str, *, title_above: bool = False) -> bytes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e5e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.get_xscale() == "log":
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(
        _plain(title, _TITLE_CHARACTERS_MAX), loc="left", fontsize=11, fontweight="bold", pad=26 if title_above else 6
    )
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110, metadata={"Software": None})
    return written.getvalue()
