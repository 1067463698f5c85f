"""What stands beside a model file: everything needed to load it, check it, decide with it and watch it."""

import hashlib
from datetime import datetime

import msgspec
from msgspec import Struct

MODEL_NAME = "fraud"
"""The model that scores card payments."""


class Thresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores at or above `decline` are declined, at or above `review` reviewed, the rest approved."""

    review: float
    decline: float


class Reference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one quantity (a feature, or the score) was distributed when the model was trained.

    edges: inner bin edges, ascending; bin i holds edges[i-1] <= x < edges[i].
    fractions: share of each bin, len(edges) + 1 of them, summing to 1.
    """

    edges: list[float]
    fractions: list[float]


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model version.

    model_digest: SHA-256 of the ONNX file's bytes.
    data_digest: SHA-256 of the training set.
    trained_until: event time of the newest payment it was trained on; payments after it are new to this model.
    metrics: on the latest payments; the ranking ones from a model trained on earlier payments only, precision and
        recall at the review threshold from this model's trees that had not seen the payment (out of bag).
    references: by feature name, and "score".
    """

    model_name: str
    model_version: int
    model_digest: str
    feature_set: str
    feature_version: str
    feature_names: list[str]
    estimator: str
    trained_at: datetime
    data_digest: str
    training_rows: int
    trained_until: datetime | None = None
    metrics: dict[str, float]
    thresholds: Thresholds
    references: dict[str, Reference]


def policy_digest(thresholds: Thresholds) -> str:
    """Return the SHA-256 that names a decision policy."""
    return hashlib.sha256(msgspec.json.encode(thresholds)).hexdigest()
