"""What stands beside a model file: everything needed to load it, check it, decide with it and watch it."""

from datetime import datetime

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from shared.models.profile import Profile

MODEL_NAME = "fraud"
"""The model that scores card payments."""
RECOMMENDATION = "recommendation"
"""The model that chooses what a shopper sees next."""
RECALIBRATES = "recalibrates_version"
"""Among the metrics of a version, and of its promotion: which version it is, but for its line and thresholds."""


class Thresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores at or above `decline` are declined, at or above `review` reviewed, the rest approved."""

    review: float
    decline: float


class Reference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one quantity (a feature, or the score) was distributed when the model was trained.

    edges: inner bin edges, ascending; bin i holds edges[i-1] <= x < edges[i].
    codes: of a category, which has no edges: ascending; bin i holds codes[i], the last bin every other code.
    fractions: share of each bin, one more of them than edges or codes, summing to 1.
    """

    edges: list[float] = []
    codes: list[int] = []
    fractions: list[float]

    def bins_of(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        """Return which bin each value falls into, shape as `values`; what is no number falls into the last."""
        if not self.codes:
            return np.searchsorted(self.edges, values, side="right").astype(np.int64)
        codes = np.asarray(self.codes, dtype=np.float64)
        at = np.searchsorted(codes, values)
        found = (at < len(codes)) & (codes[np.minimum(at, len(codes) - 1)] == values)
        return np.where(found, at, len(codes)).astype(np.int64)


class CategoryEncoding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model makes of a category, inside its graph.

    codes: ascending: those that training met. fraud_rates: of each, smoothed. unseen: what any other code counts as.
    """

    codes: list[int]
    fraud_rates: list[float]
    unseen: float


class Probe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row and its score where the model was made; wherever it is loaded, it must score the row alike.

    values: in the order of the manifest's features.
    """

    values: list[float]
    score: float


class ModelManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest of any model version says.

    model_digest: SHA-256 of the ONNX file's bytes.
    data_digest: SHA-256 of the training set.
    feature_version: SHA-256 of what a row, or a history, is made of; a model reads those of its own version only.
    family, parameters: what kind of model it is and how it was made.
    code_commit: the commit of the code that trained it, where that can be told.
    trained_until: event time of the newest event it was trained on; later ones are new to this model.
    metrics: on the latest events, each by a model of the same making that was trained on earlier ones only.
    intervals: by metric name, the ends of its 95 % interval.
    """

    model_name: str
    model_version: int
    model_digest: str
    feature_version: str
    family: str
    parameters: dict[str, str | int | float | bool | None] = {}
    code_commit: str | None = None
    trained_at: datetime
    data_digest: str
    training_rows: int
    trained_until: datetime | None = None
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = {}


class Manifest(ModelManifest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a model that scores payments.

    estimator: family and parameters (services/training/estimators/families.py) in one line, for people.
    categories: by feature name; the other features go to the estimator as they are.
    references: by feature name, and "score".
    probes: rows that were held out, with the highest score among theirs; none in manifests of earlier versions.
    profile: how payments were distributed day by day; None in manifests of earlier versions.
    """

    feature_set: str
    feature_names: list[str]
    categories: dict[str, CategoryEncoding] = {}
    estimator: str
    thresholds: Thresholds
    references: dict[str, Reference]
    probes: list[Probe] = []
    profile: Profile | None = None


class RecommendationProbe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One history and the best items for it where the model was made; wherever it is loaded, they must be the same.

    items, weights: the history, the latest first, by position. segment: as in the graph. top, scores: best first.
    """

    items: list[int]
    weights: list[float]
    segment: int
    top: list[int]
    scores: list[float]


class RecommendationManifest(ModelManifest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of the model that recommends.

    items: how many it can recommend. users: how many it was trained on. training_rows: their interactions.
    probes: histories that were held out, among them an empty one.
    """

    items: int
    users: int
    probes: list[RecommendationProbe]


def manifest_type(model_name: str) -> type[ModelManifest]:
    """Return what a model's manifests are; models of other names score payments too, beside the first of them."""
    return RecommendationManifest if model_name == RECOMMENDATION else Manifest
