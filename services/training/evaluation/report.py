"""The report of a training run: one HTML file that needs nothing else, its pictures, and its figures as JSON."""

from pathlib import Path
from typing import NamedTuple

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.training.evaluation.pictures import pictures_of
from services.training.evaluation.policy import DECLINE_NOTHING, Outcome, cost_of
from services.training.evaluation.report_input import Comparison, ReportInput, comparison
from services.training.evaluation.wording import FIGURES, bounds, money, threshold, utc, value
from shared.models.manifest import Thresholds


class Matrix(NamedTuple):
    """What taking every payment from a threshold on does; each row the payments' frauds, then the genuine ones."""

    title: str
    threshold: float
    taken: tuple[Outcome, ...]
    passed: tuple[Outcome, ...]


def write_report(folder: Path, made: ReportInput) -> Path:
    """Write report.html, its pictures and metrics.json into `folder`, and return where report.html is."""
    folder.mkdir(parents=True, exist_ok=True)
    compared, pictures = comparison(made), pictures_of(made)
    for picture in pictures:
        (folder / f"{picture.name}.png").write_bytes(picture.png)
    (folder / "metrics.json").write_bytes(_json(made, compared))
    page = _environment().get_template("report.html.j2")
    written = folder / "report.html"
    written.write_text(
        page.render(
            made=made,
            manifest=made.manifest,
            evaluation=made.evaluation,
            compared=compared,
            pictures=pictures,
            matrices=_matrices(made),
            titles=FIGURES,
            trials=sorted(made.trials, key=lambda trial: (bool(trial.failure), -trial.rung, -trial.score)),
            unchecked_cost_a_day=_unchecked_cost_a_day(made),
        ),
        encoding="utf-8",
    )
    return written


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"value": value, "bounds": bounds, "money": money, "utc": utc, "threshold": threshold}
    return found


def _matrices(made: ReportInput) -> tuple[Matrix, ...]:
    approved, reviewed, declined = made.evaluation.outcomes
    levels = made.manifest.thresholds
    return (
        Matrix("Reviewed or declined", levels.review, (reviewed, declined), (approved,)),
        Matrix("Declined", levels.decline, (declined,), (approved, reviewed)),
    )


def _unchecked_cost_a_day(made: ReportInput) -> float:
    """Return what a day would cost were every payment approved, in minor units."""
    nothing = Thresholds(review=DECLINE_NOTHING, decline=DECLINE_NOTHING)
    return float(cost_of(made.scored, nothing, made.costs).sum()) / made.scored.length_days


def _json(made: ReportInput, compared: Comparison | None) -> bytes:
    figures = {"held_out": made.evaluation.figures}
    if compared:
        figures |= {"new_to_the_champion": compared.model, "champion": compared.champion}
    told = {
        "model_version": made.manifest.model_version,
        "promoted": made.promoted,
        "reason": made.reason,
        "export_difference": made.export_difference,
        "thresholds": made.manifest.thresholds,
        "costs": made.costs,
        "figures": {
            of: {name: interval._asdict() for name, interval in found.items()} for of, found in figures.items()
        },
        "outcomes": {outcome.action: outcome._asdict() for outcome in made.evaluation.outcomes},
        "guard_rails": [rail._asdict() for rail in made.rails],
        "segments": [
            {"name": it.name, "payments": it.payments, "frauds": it.frauds}
            | ({name: interval._asdict() for name, interval in it.figures._asdict().items()} if it.figures else {})
            for it in made.segments
        ],
        "trials": [trial._asdict() | {"spec": str(trial.spec)} for trial in made.trials],
        "importances": [importance._asdict() for importance in made.importances],
    }
    return msgspec.json.format(msgspec.json.encode(told))
