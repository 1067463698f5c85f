"""The model card: what a version is, what it is for, how good it is and where it is not (Mitchell et al., 2019).

Mitchell et al., "Model Cards for Model Reporting", FAT* 2019; Markdown, with their sections in their order.
"""

import re
from collections.abc import Iterable, Sequence

from services.training.evaluation.policy import Costs
from services.training.evaluation.report_input import ReportInput
from services.training.evaluation.segments import Segment, worst
from services.training.evaluation.wording import FIGURES, bounds, money, threshold, utc, value
from shared.models.manifest import Thresholds

_MARKUP = re.compile(r"([\\`*\[\]|<>&#])")

_INTENDED_USE = """\
## Intended use

To decide card payments as they are made, by a score from 0 to 1 that is meant as the probability of fraud: approve,
review by a person, or decline. Not for anything else about a person: not for credit, employment, or who may have an
account; and not as the only ground on which a customer is refused for good."""

_LIMITS = """\
## Limits

- The figures are of stand-ins, models of the same making trained on earlier payments only. This version has seen more
  of the newest fraud than they had, so it may be better than they; nobody has measured it on payments it has not seen.
- What is not labelled as fraud by the time of training counts as genuine. Fraud that nobody reports is learnt as
  genuine, and labels of payments that were declined are taken as they come.
- Fraud changes. The figures hold for as long as payments resemble those above; drift against the distributions in the
  manifest is watched, and asks for a new version.
- Scores of segments with few frauds are worth no more than what they were learnt from.
- No attribute of a person is a feature, but country, device and merchant may stand for one."""


def model_card(made: ReportInput) -> str:
    """Return the model card, Markdown; it tells whether the run's own gate let the version go live, and why."""
    manifest = made.manifest
    sections = [
        f"# {_plain(manifest.model_name)}, version {manifest.model_version}",
        _details(made),
        _INTENDED_USE,
        _decision(manifest.thresholds, made.costs),
        _figures(made),
        _segments(made.segments),
        _data(made),
        _checks(made),
        _LIMITS,
    ]
    return "\n\n".join(sections) + "\n"


def _details(made: ReportInput) -> str:
    manifest = made.manifest
    released = "by the promotion gate, when it was trained" if made.promoted else "not by the promotion gate"
    return "## Model\n\n" + _list(
        f"Kind: {_plain(manifest.estimator)}, as one ONNX graph",
        f"Features: {_plain(manifest.feature_set)}, {len(manifest.feature_names)} of them, "
        f"version `{manifest.feature_version}`",
        f"Model digest (SHA-256): `{manifest.model_digest}`",
        f"Trained: {utc(manifest.trained_at)}, by code commit {_plain(manifest.code_commit or 'unknown')}",
        f"Released: {released}: {_plain(made.reason)}",
    )


def _decision(levels: Thresholds, costs: Costs) -> str:
    return "## Decisions\n\n" + _list(
        f"Review from a score of: {threshold(levels.review)}",
        f"Decline from a score of: {threshold(levels.decline)}",
        f"Chosen for costs of {money(costs.review_minor_units)} a review; "
        f"{money(costs.chargeback_minor_units)} and its amount an approved fraud; "
        f"{money(costs.declined_genuine_minor_units)} and "
        f"{costs.declined_genuine_share:.0%} of its amount a declined genuine payment",
    )


def _figures(made: ReportInput) -> str:
    evaluation = made.evaluation
    rows = [
        (FIGURES[name][0], value(interval, name), bounds(interval, name))
        for name, interval in evaluation.figures.items()
    ]
    return (
        f"## Figures\n\nOf the latest {evaluation.payments:,} payments ({evaluation.frauds:,} frauds, "
        f"{evaluation.length_days:.1f} days). Intervals by resampling cards.\n\n"
        + _table(("Figure", "Value", "95 % interval"), rows)
    )


def _segments(segments: tuple[Segment, ...]) -> str:
    rows = [
        (
            _plain(segment.name),
            f"{segment.payments:,}",
            f"{segment.frauds:,}",
            f"{value(segment.figures.recall, 'recall')} ({bounds(segment.figures.recall, 'recall')})",
            f"{value(segment.figures.precision, 'precision')} ({bounds(segment.figures.precision, 'precision')})",
        )
        for segment in worst(segments)
        if segment.figures
    ]
    if not rows:
        return "## Where it is worst\n\nNo segment holds enough frauds to tell."
    untold = sum(segment.figures is None for segment in segments)
    return (
        "## Where it is worst\n\n"
        + _table(("Segment", "Payments", "Frauds", "Recall at review", "Precision at review"), rows)
        + f"\n\n{untold} further segments hold too few frauds to tell."
    )


def _data(made: ReportInput) -> str:
    quality = made.quality
    until = made.manifest.trained_until
    findings = [
        f"{'Payments' if finding.feature is None else _plain(finding.feature)}: {_plain(finding.explanation)}"
        for finding in quality.findings
    ]
    return "## Training data\n\n" + _list(
        f"{quality.rows:,} payments from {utc(quality.oldest)} to {utc(quality.newest)}, "
        f"{quality.frauds:,} of them fraud",
        f"Trained on {made.manifest.training_rows:,} payments{f' until {utc(until)}' if until else ''}, each taken "
        f"once it was {made.label_delay_days:g} days old",
        f"Digest (SHA-256): `{made.manifest.data_digest}`",
        *(findings or ["Nothing was found wrong with them"]),
    )


def _checks(made: ReportInput) -> str:
    passed = [(rail.name, rail.passed, rail.explanation) for rail in made.rails]
    passed += [(check.name, check.passed, check.explanation) for check in made.checks]
    rows = [(_plain(name), "passed" if fine else "failed", _plain(told)) for name, fine, told in passed]
    export = ("export", "passed", f"ONNX and scikit-learn differ by {made.export_difference:.2g} at most")
    return "## Checks\n\n" + _table(("Check", "Result", "What was seen"), [export, *rows])


def _list(*items: str) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Return text from outside as one line that Markdown, and HTML within it, read as nothing but text."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
