"""One recalibration: the champion's matured payments → look → proof → graph → gate → registry → `models`."""

import hashlib
import math
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from services.training.archive import Archive
from services.training.columns import feature_columns
from services.training.endings import failing, register, show_champion
from services.training.evaluation.metrics import evaluate
from services.training.evaluation.scored import Scored
from services.training.gates.counting import export_counted
from services.training.gates.probe import spread
from services.training.judged import JudgedPayments, Period
from services.training.model_log import History, ModelLog
from services.training.outcome import Step
from services.training.recalibration.gate import check_line
from services.training.recalibration.graph import on_line
from services.training.recalibration.looks import latest_look
from services.training.recalibration.manifests import Measured, recalibrated_manifest
from services.training.recalibration.proposal import Proposal, Terms, propose
from services.training.recalibration.written import Recalibration, card, write_report
from services.training.recipe import keep_again
from services.training.refusal import RefusedError
from services.training.releases import Model, Order, promotion
from services.training.search.steps import Steps
from services.training.settings import TrainingSettings
from services.training.trainer import costs_of
from shared.contracts.events import ModelEvent
from shared.contracts.ids import derived_event_id, new_trace_id
from shared.contracts.topics import MODELS
from shared.features.definitions import FeatureSet
from shared.models import lineage
from shared.models.manifest import MODEL_NAME, RECALIBRATES, Manifest
from shared.models.registry import Registry
from shared.models.runs import DataSource
from shared.models.session import OnnxModel

ACTOR = "recalibration"
"""Who announces a recalibrated version, and promotes it where no person does."""
_ALL_DAYS = 36_500
_GATE_ROWS_MAX = 20_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Candidate:
    """What would be made of the champion.

    event: that put it in force. day: the last one that was looked at.
    """

    event: ModelEvent
    manifest: Manifest
    onnx: bytes
    proposal: Proposal
    day: date


class Recalibrator:
    """Recalibrates the fraud model.

    A crash after the registry took a version and before it was announced leaves that version unannounced, which harms
    nobody: the next time the same payments give the same version, under the next number.
    """

    def __init__(
        self, home: Path, registry: Registry, feature_set: FeatureSet, model_log: ModelLog, settings: TrainingSettings
    ) -> None:
        """Wire it; home: with the archive, and with the notes of training runs that are under way."""
        self._archive = Archive(home / "archive", [feature_set])
        self._judged = JudgedPayments(home, feature_set)
        self._attempts = home / "attempts"
        self._steps = Steps(home / "steps")
        self._registry = registry
        self._feature_set = feature_set
        self._log = model_log
        self._settings = settings

    def horizon(self) -> tuple[str, date]:
        """Return the event that put the champion in force, and the last day whose labels have come; soon told.

        Raises:
            RefusedError: no champion that may be recalibrated, or no such day.
        """
        return self._champion(self._log.history()).event_id, self._matured().until

    def candidate(self) -> Candidate:
        """Return what would be made of the champion, now.

        Raises:
            RefusedError: nothing, and why.
            ModelIntegrityError, RegistryUnavailableError, BusUnavailableError: it cannot be told.
        """
        event = self._champion(self._log.history())
        manifest, onnx = self._registry.load(
            MODEL_NAME, event.model_version, digest=event.model_digest, manifest_digest=event.manifest_digest
        )
        if manifest.feature_version != self._feature_set.version:
            raise RefusedError(
                "other_features", f"version {event.model_version} was made for other features; train a new model"
            )
        scored = self._fresh(manifest)
        look = latest_look(
            scored,
            frauds_min=self._settings.headrace_training_recalibration_frauds_min,
            days_min=self._settings.headrace_training_recalibration_days_min,
        )
        proposal = propose(look, manifest.thresholds, self._terms())
        return Candidate(event, manifest, onnx, proposal, _at(proposal.before.times[-1]).date())

    def release(self, candidate: Candidate, order: Order) -> list[ModelEvent]:
        """Register what `candidate` makes, and put it in force; return what was announced, nothing if overtaken.

        Raises:
            RefusedError: the new graph does not pass the gate, or the order is none that a person may give.
            RegistryUnavailableError, BusUnavailableError: nothing is announced.
        """
        run_id = self._begun(candidate)
        steps = failing(self._registry, run_id, lambda: self._made(run_id, candidate, order.at))
        trace_id = new_trace_id()

        def still(history: History) -> list[ModelEvent]:
            if self._champion(history).event_id != candidate.event.event_id:
                raise RefusedError(
                    "overtaken", "another version came into force meanwhile; it is looked at in its turn"
                )
            registered, promoted = (_event(step, candidate.event, order, trace_id) for step in steps)
            if order.actor == ACTOR:
                return [registered, promoted]
            known = History((*history.events, registered), history.head)
            model = Model(MODEL_NAME, candidate.event.feature_version)
            return [registered, promotion(known, registered.model_version, order, model)]

        announced = self._log.append(still)
        keep_again(candidate.manifest.model_digest, announced[-1].model_digest or "", self._steps)
        show_champion(self._registry, announced[-1])
        return announced

    def _champion(self, history: History) -> ModelEvent:
        """Return the event that put the version in force; raises RefusedError where it must be left alone."""
        now = lineage.standing(history.events, MODEL_NAME)
        if now.champion is None:
            raise RefusedError("no_model", "no model is in force; train one first")
        on_trial = [event.model_version for event in (now.canary, *now.challengers) if event is not None]
        if on_trial:
            versions = ", ".join(map(str, on_trial))
            raise RefusedError(
                "on_trial",
                f"version {versions} is being tried beside the champion; end that first, or wait for its end",
            )
        if self._attempts.is_dir() and any(self._attempts.iterdir()):
            raise RefusedError("training", "a training run is under way, which is judged by the champion; wait for it")
        return now.champion

    def _fresh(self, manifest: Manifest) -> Scored:
        """Return the matured payments that a version decided about and was not trained on, in order of time."""
        period = self._matured()
        trained_until = manifest.trained_until or _EPOCH
        version = manifest.model_version
        decided = self._archive.decisions(
            ["occurred_at", "model_version"],
            since=trained_until.date(),
            until=period.until,
            only=pl.col("model_version") == version,
        )["occurred_at"].min()
        if not isinstance(decided, datetime):
            raise RefusedError(
                "no_scores", f"no payment that version {version} decided about has matured yet; wait for more"
            )
        scored = self._judged.scored(Period(decided.date(), period.until), model_version=version)
        return scored.part(scored.times > int((trained_until - _EPOCH) / timedelta(microseconds=1)))

    def _matured(self) -> Period:
        label_delay = timedelta(days=self._settings.headrace_training_label_delay_days)
        return self._judged.matured(days=_ALL_DAYS, label_delay=label_delay)

    def _terms(self) -> Terms:
        return Terms(
            costs=costs_of(self._settings),
            reviews_a_day_max=self._settings.headrace_training_reviews_a_day_max,
            gain_min=self._settings.headrace_training_recalibration_gain_min,
            error_rate=self._settings.headrace_training_recalibration_error_rate,
        )

    def _begun(self, candidate: Candidate) -> str:
        proposal = candidate.proposal
        parameters = {
            RECALIBRATES: candidate.manifest.model_version,
            "slope": proposal.line.slope,
            "intercept": proposal.line.intercept,
        }
        tags = {"feature_version": self._feature_set.version, "kind": ACTOR}
        run_id = self._registry.begin(MODEL_NAME, parameters=parameters, tags=tags)
        before = proposal.before
        self._registry.log_data(
            run_id,
            DataSource(
                _digest(before),
                str(self._settings.headrace_home / "archive"),
                _at(before.times[0]),
                _at(before.times[-1]),
                len(before.frauds),
                int(before.frauds.sum()),
            ),
        )
        return run_id

    def _made(self, run_id: str, candidate: Candidate, now: datetime) -> list[Step]:
        proposal, champion = candidate.proposal, candidate.manifest
        costs = costs_of(self._settings)
        figures = Measured(
            evaluate(proposal.before, champion.thresholds, costs), evaluate(proposal.after, proposal.thresholds, costs)
        )
        onnx = on_line(candidate.onnx, proposal.line)
        version = self._registry.reserve(MODEL_NAME, run_id)
        manifest = recalibrated_manifest(champion, proposal, figures, onnx, version=version, now=now)
        with export_counted(MODEL_NAME):
            difference = check_line(
                OnnxModel(champion, candidate.onnx), OnnxModel(manifest, onnx), proposal.line, self._rows(candidate)
            )
        made = Recalibration(champion, manifest, proposal, figures, difference)
        with tempfile.TemporaryDirectory() as folder:
            write_report(Path(folder), made)
            manifest_digest = register(
                self._registry, manifest, onnx, run_id=run_id, card=card(made), report=Path(folder)
            )
        return _steps(made, manifest_digest, _digest(proposal.before))

    def _rows(self, candidate: Candidate) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Return payments of the last day that was looked at, and the champion's probes: shape (n, features)."""
        names = feature_columns(self._feature_set)
        vectors = self._archive.vectors(self._feature_set, names, since=candidate.day, until=candidate.day)
        rows = vectors.select(names).to_numpy()
        probes = np.array([probe.values for probe in candidate.manifest.probes]).reshape(-1, len(names))
        return np.concatenate([spread(rows, _GATE_ROWS_MAX), probes]).astype(np.float32)


def _steps(made: Recalibration, manifest_digest: str, data_digest: str) -> list[Step]:
    manifest, champion = made.manifest, made.champion.model_version
    registered = Step(
        "registered",
        f"passed the export gate: version {champion} recalibrated: {made.proposal.reason}",
        manifest.model_version,
        manifest.model_digest,
        manifest_digest,
        data_digest,
        manifest.metrics,
    )
    error = "expected_calibration_error"
    reason = (
        f"better than version {champion}, and ranks payments as it does, so it is not tried in its shadow; a policy "
        f"with thresholds of its own keeps them. {made.proposal.reason}"
    )
    figures = {
        RECALIBRATES: float(champion),
        "calibration_error_before": made.figures.before.figures[error].value,
        "calibration_error_after": made.figures.after.figures[error].value,
        "cost_a_day_before_minor_units": made.figures.before.cost_a_day.value,
        "cost_a_day_after_minor_units": made.figures.after.cost_a_day.value,
    }
    return [registered, replace(registered, action="promoted", reason=reason, metrics=figures)]


def _event(step: Step, champion: ModelEvent, order: Order, trace_id: str) -> ModelEvent:
    return ModelEvent(
        event_id=derived_event_id(order.at, MODELS.name, ACTOR, str(step.model_version), step.action),
        occurred_at=order.at,
        trace_id=trace_id,
        model_name=MODEL_NAME,
        model_version=step.model_version,
        action=step.action,
        model_digest=step.model_digest,
        manifest_digest=step.manifest_digest,
        data_digest=step.data_digest,
        feature_version=champion.feature_version,
        actor=ACTOR,
        reason=step.reason[:4096],
        metrics={name: value for name, value in step.metrics.items() if math.isfinite(value)},
        previous_digest=None,
    )


def _digest(scored: Scored) -> str:
    """Return the SHA-256 of the payments that proved a line."""
    sha = hashlib.sha256()
    for column in (scored.frauds, scored.scores, scored.cards, scored.times, scored.amounts):
        sha.update(f"{column.dtype} {column.shape}".encode())
        sha.update(np.ascontiguousarray(column).data)
    return sha.hexdigest()


def _at(microseconds: np.int64) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))
