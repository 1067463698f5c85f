"""Small real recommenders, and what stands beside them."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np

from services.training.recommendation.export import export
from services.training.recommendation.recommender import Component, Neighbours, Recommender
from shared.models.manifest import RECOMMENDATION, RecommendationManifest
from shared.models.packages import sha256
from shared.models.recommender import RecommenderModel

TRAINED_AT = datetime(2026, 3, 1, tzinfo=UTC)


def component(name: str, items: int, width: int = 4, **letters: Any) -> Component:
    """Return a component whose strengths are drawn at random, some of them negative, some neighbours named twice."""
    random = np.random.default_rng(len(name) + items)
    neighbours = random.integers(0, items, (items, width)).astype(np.int32)
    strengths = random.normal(size=(items, width)).astype(np.float32)
    return replace(Component(name, Neighbours(neighbours, strengths), weight=1.0), **letters)


@cache
def recommender(items: int = 150) -> Recommender:
    """Return a blend of three components of different lengths and widths, and two segments."""
    return Recommender(
        item_ids=tuple(f"item-{at}" for at in range(items)),
        components=(
            component("similar", items, decay=0.9, length=20, norm=0.5),
            component("next", items, width=2, weight=2.0, length=1, norm=1.0),
            component("taste", items, width=7, weight=0.5, decay=0.99),
        ),
        popularity=np.random.default_rng(1).random((3, items)).astype(np.float32),
        popularity_weight=0.3,
        segments=("DE", "FR"),
        segment_attribute="country",
        kind_weights={"view": 1.0, "purchase": 3.0},
        half_life_seconds=86_400.0,
    )


def manifest_of(onnx: bytes, version: int = 1, **fields: Any) -> RecommendationManifest:
    defaults: dict[str, Any] = {
        "model_name": RECOMMENDATION,
        "model_version": version,
        "model_digest": sha256(onnx),
        "feature_version": "f" * 64,
        "family": "blend",
        "parameters": {"width": 4},
        "code_commit": "abc1234",
        "trained_at": TRAINED_AT,
        "data_digest": "d" * 64,
        "training_rows": 1_000,
        "metrics": {"hit_rate": 0.5},
        "items": 150,
        "users": 40,
        "probes": [],
    }
    return RecommendationManifest(**(defaults | fields))


def loaded(made: Recommender, **fields: Any) -> RecommenderModel:
    onnx = export(made)
    return RecommenderModel(manifest_of(onnx, **fields), onnx)
