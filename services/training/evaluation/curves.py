"""Pictures of how good a model is, as PNG bytes, in colours that the colour-blind can tell apart.

The challenger is a solid blue line, the champion a dashed orange one (Okabe and Ito, "Color Universal Design", 2008).
"""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from services.training.evaluation.bootstrap import Interval
from services.training.evaluation.importance import Importance
from services.training.evaluation.policy import DECLINE_NOTHING, Costs, costs_by_review_threshold
from services.training.evaluation.ranking import ranked_totals
from services.training.evaluation.scored import Scored
from shared.models.manifest import Thresholds

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7280"
STYLES = ((BLUE, "-", "o"), (ORANGE, "--", "s"))
"""Colour, line and marker of the first and the second model of a picture."""
POINTS_MAX = 2_000
BINS = 10
FEATURES_MAX = 20
Z_95 = 1.96


class Drawn(NamedTuple):
    """A model in a picture: what the legend calls it, and the payments it scored."""

    label: str
    scored: Scored


class Period(NamedTuple):
    """Average precision over one test period, by model as in the legend."""

    name: str
    average_precision: dict[str, Interval]


def precision_recall(models: Sequence[Drawn]) -> bytes:
    """Return the precision-recall curves."""
    figure, axes = _figure()
    for (label, scored), (colour, line, _) in zip(models, STYLES, strict=False):
        totals = ranked_totals(scored)
        taken = _thinned(len(totals.payments))
        recall = totals.frauds[taken] / totals.frauds[-1]
        precision = totals.frauds[taken] / totals.payments[taken]
        axes.plot(recall, precision, line, color=colour, label=label)
    rate = float(models[0].scored.frauds.mean())
    axes.axhline(rate, color=GREY, linestyle=":", label=f"by chance ({rate:.2%})")
    _percent(axes, "recall: share of fraud taken", "precision: share of the taken that is fraud")
    return _png(figure, axes, "Precision and recall")


def receiver_operating(models: Sequence[Drawn]) -> bytes:
    """Return the ROC curves."""
    figure, axes = _figure()
    for (label, scored), (colour, line, _) in zip(models, STYLES, strict=False):
        totals = ranked_totals(scored)
        taken = _thinned(len(totals.payments))
        alarms = totals.payments - totals.frauds
        hits = np.append(0, totals.frauds[taken] / totals.frauds[-1])
        axes.plot(np.append(0, alarms[taken] / alarms[-1]), hits, line, color=colour, label=label)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="by chance")
    _percent(axes, "share of genuine payments taken", "share of fraud taken")
    return _png(figure, axes, "Receiver operating characteristic")


def reliability(models: Sequence[Drawn]) -> bytes:
    """Return the reliability diagram: fraud rate by score, with Wilson's 95 % intervals, over counts of payments."""
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfectly calibrated")
    for place, ((label, scored), (colour, line, marker)) in enumerate(zip(models, STYLES, strict=False)):
        bins = np.minimum((scored.scores.astype(np.float64) * BINS).astype(np.int64), BINS - 1)
        counts = np.bincount(bins, minlength=BINS)
        held = np.flatnonzero(counts)
        frauds = np.bincount(bins[scored.frauds == 1], minlength=BINS)[held]
        mean_scores = np.bincount(bins, weights=scored.scores, minlength=BINS)[held] / counts[held]
        rates = frauds / counts[held]
        low, high = _wilson(frauds, counts[held])
        bars = [rates - low, high - rates]
        axes.errorbar(
            mean_scores, rates, bars, fmt=line, marker=marker, color=colour, label=label, capsize=3, elinewidth=1
        )
        width = 0.8 / BINS / len(models)
        at = (np.arange(BINS) + 0.1) / BINS + width * (place + 0.5)
        below.bar(at, counts, width=width, color=colour)
    below.set(yscale="log", ylabel="payments", xlabel="score", ylim=(0.5, None))
    _frame(below)
    axes.set(ylabel="fraud rate", xlim=(0, 1), ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return _png(figure, axes, "Calibration")


def cost_by_threshold(scored: Scored, thresholds: Thresholds, costs: Costs) -> bytes:
    """Return cost a day against the review threshold, with the decline threshold as chosen; both are marked."""
    figure, axes = _figure()
    levels, total = costs_by_review_threshold(scored, thresholds.decline, costs)
    taken = _thinned(len(levels))
    axes.plot(levels[taken], total[taken] / scored.length_days / 100, color=BLUE)
    _mark_thresholds(axes, thresholds)
    axes.set(xscale="log", yscale="log", xlabel="review threshold", ylabel="cost a day")
    axes.set_xlim(left=min(1e-4, thresholds.review / 10), right=1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.yaxis.set_minor_formatter(FuncFormatter(_thousands_of_two_and_five))
    return _png(figure, axes, "Cost against the review threshold")


def score_histogram(scored: Scored, thresholds: Thresholds) -> bytes:
    """Return how many payments of each kind have which score, on a logarithmic axis."""
    figure, axes = _figure()
    edges = np.linspace(0, 1, 41).tolist()
    genuine, frauds = scored.scores[scored.frauds == 0], scored.scores[scored.frauds == 1]
    axes.hist(genuine, edges, color=GREY, alpha=0.55, label="genuine")
    axes.hist(frauds, edges, histtype="step", color=ORANGE, linewidth=1.8, label="fraud")
    _mark_thresholds(axes, thresholds)
    axes.set(yscale="log", xlabel="score", ylabel="payments", xlim=(0, 1))
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    return _png(figure, axes, "Scores by class")


def average_precision_by_period(periods: Sequence[Period]) -> bytes:
    """Return average precision over each test period, oldest first, with its intervals."""
    figure, axes = _figure()
    labels = list(dict.fromkeys(label for period in periods for label in period.average_precision))
    for place, (label, (colour, _, marker)) in enumerate(zip(labels, STYLES, strict=False)):
        held = [(at, p.average_precision[label]) for at, p in enumerate(periods) if label in p.average_precision]
        values = np.array([interval for _, interval in held])
        at = np.array([at for at, _ in held]) + 0.08 * (2 * place - (len(labels) - 1))
        bars = np.nan_to_num([values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]]).clip(min=0)
        axes.errorbar(at, values[:, 0], bars, fmt=marker, color=colour, label=label, capsize=3)
    axes.set_xticks(range(len(periods)), [period.name for period in periods], rotation=20, ha="right")
    axes.set(ylabel="average precision", ylim=(0, 1.02), xlim=(-0.5, len(periods) - 0.5))
    return _png(figure, axes, "Average precision by test period")


def importances(of: Sequence[Importance]) -> bytes:
    """Return the most important features as bars, with the range over the shuffles."""
    shown = list(of[:FEATURES_MAX])[::-1]
    figure, axes = _figure(height=1.3 + 0.27 * len(shown))
    drops = np.array([importance.drop for importance in shown])
    bars = [drops - [importance.low for importance in shown], [importance.high for importance in shown] - drops]
    axes.barh([importance.feature for importance in shown], drops, xerr=bars, color=BLUE, ecolor=GREY, height=0.7)
    axes.set(xlabel="fall in average precision when the feature is shuffled")
    axes.axvline(0, color=GREY, linewidth=0.8)
    return _png(figure, axes, "Features by importance")


def hits_by_rank(models: Sequence[tuple[str, npt.NDArray[np.int64]]], *, longest: int) -> bytes:
    """Draw in which share of the cases the item was among the first 1, 2, ... `longest`; models: names and ranks."""
    figure, axes = _figure()
    lengths = np.arange(1, longest + 1)
    for name, ranks in models:
        axes.plot(lengths, [(ranks <= length).mean() for length in lengths], marker="o", markersize=3, label=name)
    axes.set(xlabel="length of the list", ylabel="share of the cases", xlim=(1, longest), ylim=(0, None))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return _png(figure, axes, "Hit rate by length of the list")


def _wilson(
    hits: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return both ends of the 95 % interval of a share (Wilson, 1927)."""
    share, spread = hits / counts, Z_95**2 / counts
    middle = share + spread / 2
    half = np.sqrt(spread * share * (1 - share) + spread**2 / 4)
    return np.minimum((middle - half) / (1 + spread), share), np.maximum((middle + half) / (1 + spread), share)


def _mark_thresholds(axes: Axes, thresholds: Thresholds) -> None:
    for name, level, colour, line in (
        ("review", thresholds.review, GREEN, "-."),
        ("decline", thresholds.decline, "black", "--"),
    ):
        if level < DECLINE_NOTHING:
            axes.axvline(level, color=colour, linestyle=line, label=f"{name} at {level:.3f}")
        else:
            axes.plot([], [], color=colour, linestyle=line, label=f"{name} nothing")


def _figure(*, height: float = 4.2) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, height), layout="constrained")
    return figure, figure.subplots()


def _percent(axes: Axes, horizontal: str, vertical: str) -> None:
    axes.set(xlabel=horizontal, ylabel=vertical, xlim=(0, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e5e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def _png(figure: Figure, axes: Axes, title: str) -> bytes:
    _frame(axes)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110, metadata={"Software": None})
    return written.getvalue()


def _thinned(points: int) -> npt.NDArray[np.intp]:
    """Return at most POINTS_MAX places, both ends among them: half evenly spread, half closer together at the front."""
    half = min(points, POINTS_MAX // 2)
    places = np.concatenate([np.linspace(0, points - 1, half), np.geomspace(1, points, half) - 1])
    return np.unique(places.round().astype(np.intp))


def _thousands(value: float, _: int | None) -> str:
    return f"{value:,.0f}"


def _thousands_of_two_and_five(value: float, place: int | None) -> str:
    return _thousands(value, place) if f"{value:e}"[0] in "25" else ""
