"""The manifest of a recommender."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from services.training.evaluation.bootstrap import Interval
from services.training.recommendation.interactions import Interactions
from services.training.recommendation.plan import Plan
from shared.models.manifest import RECOMMENDATION, RecommendationManifest
from shared.recommendation.feature_version import FEATURE_VERSION

POPULARITY = "popularity"


def manifest_of(
    data: Interactions,
    plan: Plan,
    onnx: bytes,
    figures: Mapping[str, Interval],
    *,
    now: datetime,
    code_commit: str | None,
) -> RecommendationManifest:
    """Return the manifest of a model that has no number and no probes yet.

    figures: of its stand-in, by metric name.
    """
    return RecommendationManifest(
        model_name=RECOMMENDATION,
        model_version=0,
        model_digest=hashlib.sha256(onnx).hexdigest(),
        feature_version=FEATURE_VERSION,
        family=" + ".join([*(planned.table.family for planned in plan.components), POPULARITY]),
        parameters=_parameters(plan),
        code_commit=code_commit,
        trained_at=now.astimezone(UTC),
        data_digest=data.digest,
        training_rows=len(data.trust),
        trained_until=data.as_of,
        metrics={name: figure.value for name, figure in figures.items()},
        intervals={name: (figure.low, figure.high) for name, figure in figures.items()},
        items=len(data.item_ids),
        users=len(data.user_ids),
        probes=[],
    )


def _parameters(plan: Plan) -> dict[str, str | int | float | bool | None]:
    told: dict[str, str | int | float | bool | None] = {
        "width": plan.width,
        f"{POPULARITY}.weight": plan.popularity_weight,
        f"{POPULARITY}.half_life_seconds": plan.popularity_half_life_seconds,
    }
    for number, planned in enumerate(plan.components, start=1):
        of_component = {"weight": planned.weight, "decay": planned.decay, "length": planned.length}
        of_component |= {"norm": planned.norm, **planned.table.parameters}
        told |= {f"{number}.{planned.table.family}.{name}": value for name, value in of_component.items()}
    return told
