"""What people read of a recalibration: its card, and a short report with the calibration before and after."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.training.evaluation.bootstrap import Interval
from services.training.evaluation.curves import Drawn, reliability
from services.training.evaluation.wording import FIGURES, bounds, threshold, utc, value
from services.training.recalibration.manifests import Measured
from services.training.recalibration.proposal import Proposal
from shared.models.manifest import RECALIBRATES, Manifest

_PICTURE = "calibration.png"
_MARKUP = re.compile(r"([\\`*\[\]|<>&#])")
_CARD = """\
# {name}, version {version}

## Model

- Version {champion} with its log odds times {slope:.4g} plus {intercept:+.4g}, and other thresholds where these differ
  below. Not one tree, weight or feature is another: it ranks payments as version {champion} does, so it was not tried
  in its shadow first.
- Everything else, what it is for and where it is weak, is as the card of version {champion} says.
- Why: {reason}
- Model digest (SHA-256): `{digest}`
- Made: {made_at}

## Decisions

- Review from a score of: {review} (before: {review_before})
- Decline from a score of: {decline} (before: {decline_before})
- A policy with thresholds of its own keeps them; they then stand on the new scale of scores.

## Figures

Of {payments:,} payments ({frauds:,} frauds, {days:.1f} days) that version {champion} decided about, later than those
that the line was fitted on.

| Figure | Before | After | 95 % interval |
| --- | --- | --- | --- |
{rows}

The manifest carries the calibration measured here. Its other figures are those of version {champion}, moved by what the
new decisions change here, so that drift still measures this version by what it was worth when it was trained.
"""


@dataclass(frozen=True)
class Recalibration:
    """What was made.

    champion, manifest: of the version before, and of the new one. figures: on the payments that proved it.
    difference: largest one between the new graph and the line.
    """

    champion: Manifest
    manifest: Manifest
    proposal: Proposal
    figures: Measured
    difference: float

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Title, value before, value after and interval after of each figure."""
        old, new = self.figures.before.figures, self.figures.after.figures
        return [(FIGURES[it][0], value(old[it], it), value(new[it], it), bounds(new[it], it)) for it in new]


def card(made: Recalibration) -> str:
    """Return the model card, Markdown."""
    manifest, old = made.manifest, made.champion.thresholds
    return _CARD.format(
        name=_plain(manifest.model_name),
        version=manifest.model_version,
        champion=made.champion.model_version,
        slope=made.proposal.line.slope,
        intercept=made.proposal.line.intercept,
        reason=_plain(made.proposal.reason),
        digest=manifest.model_digest,
        made_at=utc(manifest.trained_at),
        review=threshold(manifest.thresholds.review),
        review_before=threshold(old.review),
        decline=threshold(manifest.thresholds.decline),
        decline_before=threshold(old.decline),
        payments=made.figures.after.payments,
        frauds=made.figures.after.frauds,
        days=made.figures.after.length_days,
        rows="\n".join(f"| {' | '.join(row)} |" for row in made.rows),
    )


def write_report(folder: Path, made: Recalibration) -> Path:
    """Write report.html, its picture and metrics.json into `folder`, and return where report.html is."""
    new, old = made.manifest.model_version, made.champion.model_version
    picture = reliability([Drawn(f"version {new}", made.proposal.after), Drawn(f"version {old}", made.proposal.before)])
    (folder / _PICTURE).write_bytes(picture)
    (folder / "metrics.json").write_bytes(_json(made))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"utc": utc, "threshold": threshold}
    page = environment.get_template("report.html.j2")
    written = folder / "report.html"
    uri = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    written.write_text(page.render(made=made, picture=uri), encoding="utf-8")
    return written


def _json(made: Recalibration) -> bytes:
    told = {
        "model_version": made.manifest.model_version,
        RECALIBRATES: made.champion.model_version,
        "slope": made.proposal.line.slope,
        "intercept": made.proposal.line.intercept,
        "reason": made.proposal.reason,
        "export_difference": made.difference,
        "thresholds": made.manifest.thresholds,
        "thresholds_before": made.champion.thresholds,
        "figures": {"before": _numbers(made.figures.before.figures), "after": _numbers(made.figures.after.figures)},
    }
    return msgspec.json.format(msgspec.json.encode(told))


def _numbers(figures: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: interval._asdict() for name, interval in figures.items()}


def _plain(text: str) -> str:
    """Return text as one line that Markdown, and HTML within it, read as nothing but text."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
