"""One training run: archive → data → candidate → export → gates → registry → comparison."""

import hashlib
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from services.training.archive import Archive
from services.training.candidate import Candidate, make_candidate
from services.training.comparison import compare
from services.training.dataset import TrainingSet, read_training_set
from services.training.encoding import Rates, forest_of, rates_of
from services.training.export import export
from services.training.gates import check_export
from services.training.references import references_of
from services.training.refusal import RefusedError
from services.training.settings import TrainingSettings
from shared.contracts.events import ModelEvent
from shared.features.definitions import FeatureSet
from shared.models.manifest import MODEL_NAME, CategoryEncoding, Manifest
from shared.models.registry import ModelIntegrityError, Registry
from shared.models.session import OnnxModel
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """One thing to announce about a run; version 0 when it registered no model."""

    action: Literal["registered", "promoted", "refused"]
    reason: str
    model_version: int = 0
    model_digest: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)


class Trainer:
    """Trains the fraud model.

    A crash after the registry took a version and before it was announced leaves that version unannounced, which harms
    nobody: the run is repeated and takes the next number.
    """

    def __init__(
        self, archive: Archive, registry: Registry, feature_set: FeatureSet, settings: TrainingSettings
    ) -> None:
        self._archive = archive
        self._registry = registry
        self._settings = settings
        self.feature_set = feature_set

    def run(self, champion: ModelEvent | None, *, now: datetime) -> list[Step]:
        """Train on what is archived now; return what to announce, in order. A refusal is an answer, not an error."""
        try:
            data = read_training_set(self._archive, self.feature_set, self._settings)
            log.info("training", **fields(rows=len(data.frauds), frauds=int(data.frauds.sum()), as_of=data.as_of))
            candidate = make_candidate(data, self._settings)
            model = self._registered(data, candidate, now)
        except RefusedError as refusal:
            log.warning("no model: %s", refusal, **fields(code=refusal.code))
            return [Step("refused", str(refusal))]
        return self._judged(model, candidate, champion)

    def _registered(self, data: TrainingSet, candidate: Candidate, now: datetime) -> OnnxModel:
        """Export, check and register the candidate; raises RefusedError, and then nothing was registered."""
        onnx = export(candidate.model)
        names = data.feature_set.feature_names
        manifest = Manifest(
            model_name=MODEL_NAME,
            model_version=max(self._registry.versions(MODEL_NAME), default=0) + 1,
            model_digest=hashlib.sha256(onnx).hexdigest(),
            feature_set=data.feature_set.name,
            feature_version=data.feature_set.version,
            feature_names=names,
            categories={names[column]: _recorded(rates) for column, rates in rates_of(candidate.model).items()},
            estimator=" ".join(repr(forest_of(candidate.model)).split()),
            trained_at=now,
            data_digest=data.digest,
            training_rows=len(data.frauds),
            trained_until=_EPOCH + timedelta(microseconds=int(data.times[-1])),
            metrics=candidate.metrics,
            thresholds=candidate.thresholds,
            references=references_of(candidate),
        )
        model = OnnxModel(manifest, onnx)
        check_export(model, candidate.model, data, candidate.held_out)
        try:
            self._registry.add(manifest, onnx)
        except OSError as error:
            raise RefusedError("registry", f"the registry cannot be written: {error}; mend it and ask again") from error
        return model

    def _judged(self, model: OnnxModel, candidate: Candidate, champion: ModelEvent | None) -> list[Step]:
        """Announce the registered model, and whether it goes live."""
        version, digest = model.manifest.model_version, model.manifest.model_digest
        registered = Step(
            "registered", f"passed the export gate: {_summary(model)}", version, digest, candidate.metrics
        )
        if champion is None:
            return [registered, Step("promoted", "the first model", version, digest)]
        try:
            incumbent = OnnxModel(
                *self._registry.load(MODEL_NAME, champion.model_version, digest=champion.model_digest)
            )
        except (ModelIntegrityError, ValueError) as error:
            return [registered, Step("promoted", f"the champion cannot be loaded: {error}"[:4096], version, digest)]
        if incumbent.manifest.feature_version != model.manifest.feature_version:
            reason = f"version {champion.model_version} was made for other features, which are no longer computed"
            return [registered, Step("promoted", reason, version, digest)]
        outcome = compare(
            incumbent,
            candidate.held_out,
            candidate.held_out_scores,
            tolerance=self._settings.headrace_training_tolerance,
        )
        action: Literal["promoted", "refused"] = "promoted" if outcome.better_or_equal else "refused"
        return [registered, Step(action, outcome.explanation, version, digest, outcome.metrics)]


def _recorded(rates: Rates) -> CategoryEncoding:
    return CategoryEncoding(
        codes=[int(code) for code in rates.codes], fraud_rates=rates.rates.tolist(), unseen=rates.unseen
    )


def _summary(model: OnnxModel) -> str:
    manifest = model.manifest
    return f"{manifest.estimator} on {manifest.training_rows} payments up to {manifest.trained_until}"
