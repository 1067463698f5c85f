"""The report of a recommender's training run: one HTML file that needs nothing else, its picture, and JSON figures."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.training.evaluation.bootstrap import Interval
from services.training.evaluation.curves import hits_by_rank
from services.training.recommendation.cases import SHOWN, Ranked
from services.training.recommendation.interactions import Interactions
from services.training.verdict import Verdict
from shared.models.manifest import RecommendationManifest
from shared.models.recommender import RecommenderModel


@dataclass(frozen=True)
class Contender:
    """A recommender on the held-out cases. figures: by metric name."""

    name: str
    model: RecommenderModel
    ranked: Ranked
    figures: Mapping[str, Interval]


@dataclass(frozen=True)
class RecommenderReport:
    """Everything that the report and the model card tell.

    candidate: the stand-in, of the same making, trained on what is before the held-out cases. rivals: what it was held
    against, the one that decides first. export_difference: between scores of the graph and of the slow way.
    """

    manifest: RecommendationManifest
    verdict: Verdict
    data: Interactions
    candidate: Contender
    rivals: tuple[Contender, ...]
    export_difference: float

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """Everyone, the candidate first."""
        return (self.candidate, *self.rivals)


def write_report(folder: Path, made: RecommenderReport) -> Path:
    """Write report.html, hits.png and metrics.json into `folder`, and return where report.html is."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = hits_by_rank([(each.name, each.ranked.ranks) for each in made.contenders], longest=SHOWN)
    (folder / "hits.png").write_bytes(picture)
    (folder / "metrics.json").write_bytes(_json(made))
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")
    written = folder / "report.html"
    written.write_text(
        page.render(
            made=made,
            manifest=made.manifest,
            metrics=list(made.candidate.figures),
            cases=len(made.candidate.ranked.ranks),
            picture=f"data:image/png;base64,{base64.b64encode(picture).decode()}",
        ),
        encoding="utf-8",
    )
    return written


def _json(made: RecommenderReport) -> bytes:
    told = {
        "model_version": made.manifest.model_version,
        "promoted": made.verdict.promoted,
        "reason": made.verdict.reason,
        "export_difference": made.export_difference,
        "cases": len(made.candidate.ranked.ranks),
        "figures": {
            each.name: {name: figure._asdict() for name, figure in each.figures.items()} for each in made.contenders
        },
        "guard_rails": [rail._asdict() for rail in made.verdict.rails],
        "left_out": made.data.left_out._asdict(),
        "distrusted": int((made.data.trust < 1).sum()),
        "parameters": made.manifest.parameters,
    }
    return msgspec.json.format(msgspec.json.encode(told))
