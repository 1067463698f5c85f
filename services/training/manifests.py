"""What services read of a run: the manifest."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from sklearn.pipeline import Pipeline

from services.training.data.dataset import TrainingSet
from services.training.estimators.preparation import Rates, rates_of
from services.training.estimators.transfer import SegmentSpecialist
from services.training.measured import Measured
from services.training.profile import training_profile
from services.training.recipe import Model
from services.training.references import references_of
from shared.models.manifest import MODEL_NAME, CategoryEncoding, Manifest, Probe
from shared.models.session import OnnxModel

PROBES = 16
"""How many held-out payments a manifest carries to be scored again wherever the model is loaded."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def manifest_of(
    data: TrainingSet, measured: Measured, onnx: bytes, *, version: int, now: datetime, code_commit: str | None
) -> Manifest:
    """Return the manifest of a version that was trained on `data` and measured as in `measured`.

    Raises:
        ValueError: `onnx` cannot score these payments.
    """
    candidate, figures = measured.candidate, measured.evaluation.figures
    names = data.feature_set.feature_names
    references = references_of(candidate)
    manifest = Manifest(
        model_name=MODEL_NAME,
        model_version=version,
        model_digest=hashlib.sha256(onnx).hexdigest(),
        feature_set=data.feature_set.name,
        feature_version=data.feature_set.version,
        feature_names=names,
        categories={names[column]: _recorded(rates) for column, rates in _rates(candidate.model).items()},
        estimator=candidate.recipe.told,
        family=candidate.recipe.spec.family,
        parameters=dict(candidate.recipe.spec.parameters),
        code_commit=code_commit,
        trained_at=now,
        data_digest=data.digest,
        training_rows=len(data.frauds),
        trained_until=_EPOCH + timedelta(microseconds=int(data.times[-1])),
        metrics={name: interval.value for name, interval in figures.items()}
        | {"held_out_rows": float(measured.evaluation.payments), "held_out_frauds": float(measured.evaluation.frauds)},
        intervals={name: (interval.low, interval.high) for name, interval in figures.items()},
        thresholds=measured.thresholds,
        references=references,
        profile=training_profile(data, references),
    )
    return replace(manifest, probes=probes_of(OnnxModel(manifest, onnx), candidate.held_out.rows))


def probes_of(model: OnnxModel, rows: npt.NDArray[np.float32]) -> list[Probe]:
    """Return PROBES of `rows`, evenly from the lowest score to the highest, as `model` scores each of them alone.

    rows: shape (n, features); those with values that are not numbers are passed over, since JSON cannot hold them.
    """
    finite = rows[np.isfinite(rows).all(axis=1)]
    if not len(finite):
        return []
    ranked = np.argsort(model.scores(finite), kind="stable")
    places = np.linspace(0, len(ranked) - 1, min(PROBES, len(ranked))).astype(np.intp)
    taken = finite[ranked[places]]
    scores = model.scores_alone(taken).tolist()
    return [Probe(values=row, score=score) for row, score in zip(taken.tolist(), scores, strict=True)]


def _rates(model: Model) -> dict[int, Rates]:
    """Return the rates of categories; none where the model has several encodings, or no need of any."""
    estimator = model.base.estimator_ if isinstance(model, SegmentSpecialist) else model.estimator_
    return rates_of(estimator) if isinstance(estimator, Pipeline) else {}


def _recorded(rates: Rates) -> CategoryEncoding:
    return CategoryEncoding(
        codes=[int(code) for code in rates.codes], fraud_rates=rates.rates.tolist(), unseen=rates.unseen
    )
