"""A model ready to score and to explain itself."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.scoring.explanation.explainer import Explainer, Explanation
from services.scoring.explanation.reasons import reasons_of
from shared.contracts.events import FeatureVector, ModelEvent, Reason
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Manifest
from shared.models.rounding import is_row_independent
from shared.models.session import OnnxModel
from shared.runtime.logs import fields
from shared.runtime.tracing.acting import step

log = logging.getLogger(__name__)

_WARM_ROWS = (1, 2, 7, 64)
"""Sizes of the batches that are scored before the first one of traffic is."""


class Models(Protocol):
    """Where versions are loaded from: the registry, or the packages on this machine alone."""

    def load(
        self, model_name: str, version: int, *, digest: str | None, manifest_digest: str | None
    ) -> tuple[Manifest, bytes]:
        """Return a version's manifest and ONNX bytes.

        Raises:
            ModelIntegrityError: missing, or not the announced bytes.
            RegistryUnavailableError: it is not on this machine, and the registry does not answer.
        """
        ...


class ScoringModel:
    """One version, loaded, checked and warmed; safe to use from several threads.

    A row gets the same score, to the bit, whatever rows it is scored with: a decision made again is the same decision.
    """

    def __init__(self, manifest: Manifest, onnx: bytes) -> None:
        """Load it, score its probes, and warm up its scores and explanations.

        Raises:
            ValueError: the graph does not do what its manifest says.
        """
        self.manifest = manifest
        self._session = OnnxModel(manifest, onnx)
        self.scores_batches = is_row_independent(onnx) and self._scores_alike_in_batches()
        self._explainer = Explainer(manifest, onnx)
        self.explain([0.0] * len(manifest.feature_names))

    def takes(self, vector: FeatureVector) -> bool:
        """Tell whether a vector holds the features that this model was trained on."""
        fits = len(vector.values) == len(self.manifest.feature_names)
        return fits and vector.feature_version == self.manifest.feature_version

    def scores(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probability of fraud of each row; rows: shape (n, features). Returns shape (n,)."""
        return self._session.scores(rows) if self.scores_batches else self._session.scores_alone(rows)

    def scores_of(self, vectors: Sequence[FeatureVector]) -> list[float | None]:
        """Return the probability of fraud of each vector's payment; None of those it does not take."""
        places = [at for at, vector in enumerate(vectors) if self.takes(vector)]
        scores: list[float | None] = [None] * len(vectors)
        if places:
            rows = np.array([vectors[at].values for at in places], dtype=np.float32)
            with step("infer"):
                found = self.scores(rows).tolist()
            for at, score in zip(places, found, strict=True):
                scores[at] = min(1.0, max(0.0, score))
        return scores

    def explain(self, values: Sequence[float]) -> Explanation:
        """Return what each feature adds to the log odds of a vector's score.

        Raises:
            ValueError: there are more or fewer values than features.
        """
        return self._explainer.explain(values)

    def reasons(self, vector: FeatureVector, *, count: int) -> Sequence[Reason]:
        """Return at most `count` reasons for the score of a vector that it takes, the weightiest first.

        None where its features are not those of this version of the code, which has no words for them.
        """
        if not count or vector.feature_version != FRAUD.version:
            return []
        return reasons_of(vector.values, FRAUD.features, self.explain(vector.values), count=count)

    def _scores_alike_in_batches(self) -> bool:
        """Warm up, and tell whether rows get the same bits in batches as alone on this processor too."""
        width = len(self.manifest.feature_names)
        some = [probe.values for probe in self.manifest.probes] or [[0.0] * width, [1.0] * width]
        rows = np.resize(np.array(some, dtype=np.float32), (max(_WARM_ROWS), width))
        alone = self._session.scores_alone(rows)
        alike = all(np.array_equal(self._session.scores(rows[:size]), alone[:size]) for size in _WARM_ROWS)
        if not alike:
            log.warning(
                "scores depend on the rows beside them on this processor, so rows are scored one by one",
                **fields(model_version=self.manifest.model_version),
            )
        return alike


def loading(models: Models) -> Callable[[ModelEvent], ScoringModel]:
    """Return what loads the version that an event names; it raises what `models` and ScoringModel do."""

    def load(event: ModelEvent) -> ScoringModel:
        manifest, onnx = models.load(
            event.model_name, event.model_version, digest=event.model_digest, manifest_digest=event.manifest_digest
        )
        return ScoringModel(manifest, onnx)

    return load
