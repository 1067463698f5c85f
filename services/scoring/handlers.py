"""A batch of feature vectors to decisions."""

from collections.abc import Callable, Sequence

import numpy as np

from services.scoring.policy import Scored, decide
from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, Verdict
from shared.contracts.topics import SCORES
from shared.models.session import OnnxModel
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.loop import Delivery


class ScoringHandler:
    """Scores vectors with the model in service, in one call of the graph, and decides by its policy."""

    def __init__(self, model: Callable[[], OnnxModel | None], *, fallback: Verdict, clock: Clock) -> None:
        """Wire the handler; `model` returns the one in service now, or None."""
        self._model = model
        self._fallback = fallback
        self._clock = clock

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        pairs = [(record, event) for record, event in deliveries if isinstance(event, FeatureVector)]
        decisions = self.decided([vector for _, vector in pairs], path="stream")
        now_ms = self._clock.now().timestamp() * 1000
        outgoing = []
        for (record, _), decision in zip(pairs, decisions, strict=True):
            metrics.DECISION_SECONDS.labels("stream").observe(max(0.0, now_ms - record.produced_ms) / 1000)
            key = decision.card_id.encode()
            outgoing.append(Outgoing(SCORES.name, key, codec.encode(decision), record.produced_ms))
        return outgoing

    def decided(self, vectors: Sequence[FeatureVector], *, path: str) -> list[Decision]:
        """Return one decision a vector, all by the same model."""
        decisions = [
            decide(vector, scored, fallback=self._fallback)
            for vector, scored in zip(vectors, _scored(vectors, self._model()), strict=True)
        ]
        for decision in decisions:
            metrics.DECISIONS.labels(decision.decision, ",".join(decision.degraded), path).inc()
        return decisions


def _scored(vectors: Sequence[FeatureVector], model: OnnxModel | None) -> list[Scored]:
    if model is None:
        return [Scored(None, None, ["model"])] * len(vectors)
    version, width = model.manifest.feature_version, len(model.manifest.feature_names)
    fitting = [at for at, v in enumerate(vectors) if v.feature_version == version and len(v.values) == width]
    scored = [Scored(model.manifest, None, ["features"])] * len(vectors)
    if fitting:
        rows = np.array([vectors[at].values for at in fitting], dtype=np.float32)
        for at, score in zip(fitting, model.scores(rows).tolist(), strict=True):
            scored[at] = Scored(model.manifest, min(1.0, max(0.0, score)), [])
    return scored
