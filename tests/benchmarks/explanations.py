"""What it costs to explain a score, by method, beside the package of the method's authors on the same model.

Run by itself: `python -m tests.benchmarks.explanations`.
"""

import functools
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shap  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits

from services.scoring.explanation.explainer import Explainer
from services.training.data.dataset import TrainingSet
from services.training.estimators.calibrated import Calibrated
from services.training.estimators.export import export
from services.training.estimators.families import Spec, fit
from services.training.estimators.preparation import prepared
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Manifest, Thresholds
from shared.models.session import OnnxModel
from tests.benchmarks.report import Figure, publish

Rows = npt.NDArray[np.float32]

TRAINING_ROWS = 20_000
EXPLAINED_ROWS = 200
BUILDS = 5
AUTHORS = "shap.TreeExplainer on the scikit-learn model"
SCORING = "scoring the same row"
MODELS = {
    "boosting_200x31": Spec("gradient_boosting", {"max_iter": 200, "max_leaf_nodes": 31, "genuine_fraction": 1.0}),
    "forest_100": Spec("random_forest"),
    "logistic": Spec("logistic_l2"),
    "network": Spec("multilayer_perceptron"),
    "vote_of_forest_and_boosting": Spec("soft_voting"),
}


class Measured(NamedTuple):
    """build_ms: to read a graph. explain_us, score_us, authors_us: one row, medians."""

    method: str
    build_ms: float
    explain_us: float
    score_us: float
    authors_us: float | None


def main() -> None:
    publish("explanations", "explaining a score, one row, one thread", explanation_figures())


def explanation_figures() -> list[Figure]:
    """Return the cost of each method, and of making ready to explain a model."""
    data = payments()
    figures: list[Figure] = []
    with threadpool_limits(1):
        for name, spec in MODELS.items():
            found = measured(fit(spec, data), data.rows[:EXPLAINED_ROWS])
            beside, what = (found.score_us, SCORING) if found.authors_us is None else (found.authors_us, AUTHORS)
            label = f"{name.replace('_', ' ')}, {found.method}"
            figures += [
                Figure(f"{name}_{found.method}_p50_us", f"{label}, p50 µs", found.explain_us, beside, what),
                Figure(f"{name}_ready_p50_ms", f"{label}, made ready, p50 ms", found.build_ms),
            ]
    return figures


def payments() -> TrainingSet:
    """Return payments whose fraud depends on features together, one in fifty or so."""
    rng = np.random.default_rng(0)
    width = len(FRAUD.features)
    rows = rng.gamma(2.0, 2.0, (TRAINING_ROWS, width)).astype(np.float32)
    rows[:, FRAUD.categories] = rng.integers(0, 50, (TRAINING_ROWS, len(FRAUD.categories)))
    effects = rng.normal(0, 0.15, width)
    log_odds = rows @ effects + 0.1 * rows[:, 0] * rows[:, 3]
    log_odds += -4.5 - np.median(log_odds)
    frauds = (rng.random(TRAINING_ROWS) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
    order = np.arange(TRAINING_ROWS, dtype=np.int64)
    return TrainingSet(
        feature_set=FRAUD,
        rows=rows,
        frauds=frauds,
        times=order,
        cards=order % 500,
        amounts=order,
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
        unlabelled=rows[:0],
    )


def measured(model: Calibrated, rows: Rows) -> Measured:
    content = export(model, rows.shape[1])
    manifest = manifest_of()
    explainer, scorer = Explainer(manifest, content), OnnxModel(manifest, content)
    method = explainer.explain(rows[0].tolist()).method
    ways: dict[str, Callable[[int], object]] = {
        "explain": lambda at: explainer.explain(rows[at].tolist()),
        "score": lambda at: scorer.scores(rows[at : at + 1]),
    }
    if method == "tree_shap":
        authors = shap.TreeExplainer(model.estimator_[-1], feature_perturbation="tree_path_dependent")
        seen = prepared(model.estimator_, rows).astype(np.float64)
        ways["authors"] = lambda at: authors.shap_values(seen[at : at + 1])
    took_us = interleaved_us(ways, len(rows))
    build_ms = np.median([seconds(lambda: Explainer(manifest, content)) for _ in range(BUILDS)]) * 1e3
    return Measured(method, float(build_ms), took_us["explain"], took_us["score"], took_us.get("authors"))


def interleaved_us(ways: Mapping[str, Callable[[int], object]], count: int) -> dict[str, float]:
    """Return the median of each way over `count` rows, all ways taken with one row before the next."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for at in range(count):
        for name, way in ways.items():
            took[name].append(seconds(functools.partial(way, at)))
    return {name: float(np.median(each)) * 1e6 for name, each in took.items()}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def manifest_of() -> Manifest:
    return Manifest(
        model_name="fraud",
        model_version=1,
        model_digest="",
        feature_set=FRAUD.name,
        feature_version=FRAUD.version,
        feature_names=FRAUD.feature_names,
        estimator="",
        family="",
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
        data_digest="",
        training_rows=TRAINING_ROWS,
        metrics={},
        thresholds=Thresholds(review=0.5, decline=0.9),
        references={},
    )


if __name__ == "__main__":
    main()
