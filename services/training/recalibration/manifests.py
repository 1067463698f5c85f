"""What the manifest of a recalibrated version says: the champion's, but for what the line and the thresholds change."""

import hashlib
from datetime import datetime
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from scipy.special import expit, logit

from services.training.estimators.calibrated import Calibration
from services.training.evaluation.metrics import Evaluation
from services.training.recalibration.proposal import Proposal
from services.training.references import SCORE
from shared.models.manifest import RECALIBRATES, Manifest, Reference
from shared.models.session import OnnxModel

_OF_FRESH_LABELS = ("expected_calibration_error", "brier_score", "mean_score", "fraud_rate")
_NOTE = ", recalibrated"


class Measured(NamedTuple):
    """The payments that proved a recalibration, as the champion decides them, and as the new version does."""

    before: Evaluation
    after: Evaluation


def recalibrated_manifest(
    champion: Manifest,
    proposal: Proposal,
    measured: Measured,
    onnx: bytes,
    *,
    version: int,
    now: datetime,
) -> Manifest:
    """Return the manifest of `version`, whose graph is `onnx`.

    Calibration is told as measured on the payments that proved it. Every other figure is the
    champion's, moved by what the new decisions change on these payments: were it measured on them, a model that has
    become worse would count as normal from now on, and never be replaced. The line, and which version it moves, stand
    among the metrics; parameters stay those that the model can be trained with again.

    Raises:
        ValueError: `onnx` cannot score.
    """
    manifest = replace(
        champion,
        model_version=version,
        model_digest=hashlib.sha256(onnx).hexdigest(),
        estimator=champion.estimator.removesuffix(_NOTE) + _NOTE,
        trained_at=now,
        metrics=_metrics(champion, measured)
        | {
            RECALIBRATES: float(champion.model_version),
            "recalibration_slope": proposal.line.slope,
            "recalibration_intercept": proposal.line.intercept,
            "recalibration_rows": float(measured.after.payments),
            "recalibration_frauds": float(measured.after.frauds),
        },
        intervals=_intervals(champion, measured),
        thresholds=proposal.thresholds,
        references={
            name: on_line(reference, proposal.line) if name == SCORE else reference
            for name, reference in champion.references.items()
        },
        probes=[],
    )
    rows = np.array([probe.values for probe in champion.probes], dtype=np.float32).reshape(
        -1, len(champion.feature_names)
    )
    scores = OnnxModel(manifest, onnx).scores_alone(rows).tolist()
    probes = [replace(probe, score=score) for probe, score in zip(champion.probes, scores, strict=True)]
    return replace(manifest, probes=probes)


def on_line(reference: Reference, line: Calibration) -> Reference:
    """Return how scores were distributed, had they been on `line`: each keeps its bin, so a profile's counts hold."""
    edges = expit(line.slope * logit(np.array(reference.edges)) + line.intercept)
    return replace(reference, edges=edges.tolist())


def _metrics(champion: Manifest, measured: Measured) -> dict[str, float]:
    old, new = measured.before.figures, measured.after.figures
    return champion.metrics | {
        name: new[name].value
        if name in _OF_FRESH_LABELS
        else _moved(name, champion.metrics[name], new[name].value - old[name].value)
        for name in new
        if name in champion.metrics
    }


def _intervals(champion: Manifest, measured: Measured) -> dict[str, tuple[float, float]]:
    old, new = measured.before.figures, measured.after.figures
    found = dict(champion.intervals)
    for name in new.keys() & champion.intervals.keys():
        low, high = champion.intervals[name]
        change = new[name].value - old[name].value
        fresh = (new[name].low, new[name].high)
        found[name] = fresh if name in _OF_FRESH_LABELS else (_moved(name, low, change), _moved(name, high, change))
    return found


def _moved(name: str, figure: float, change: float) -> float:
    """Return a figure that has changed; all but money are shares."""
    return max(0.0, figure + change) if name.endswith("minor_units") else min(1.0, max(0.0, figure + change))
