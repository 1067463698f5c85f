"""One training run: archive → data → search → candidate → export → gates → report → registry."""

import logging
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from threadpoolctl import threadpool_limits

from services.training.archive import Archive
from services.training.candidate import held_out_periods, make_candidate
from services.training.choice import Choice, chosen
from services.training.data.dataset import TrainingSet, read_training_set
from services.training.data.leakage import LeakageBounds, check_leakage
from services.training.data.quality import exact_rows, quality_of, require_usable
from services.training.dossier import report_input
from services.training.endings import ended, failing, register, show_champion
from services.training.estimators.export import export
from services.training.evaluation.card import model_card
from services.training.evaluation.metrics import evaluate
from services.training.evaluation.policy import Costs, choose_thresholds
from services.training.evaluation.report import write_report
from services.training.evaluation.scored import Scored
from services.training.gates.counting import count_verdict, export_counted
from services.training.gates.export_gate import check_export
from services.training.manifests import manifest_of
from services.training.measured import Inspected, Measured
from services.training.outcome import Step
from services.training.recipe import Recipe, keep
from services.training.search.search import Progress
from services.training.search.steps import Steps
from services.training.settings import TrainingSettings
from services.training.verdict import Champion, Verdict, judged
from shared.contracts.events import ModelEvent
from shared.features.definitions import FeatureSet
from shared.models.manifest import MODEL_NAME, Manifest
from shared.models.packages import ModelIntegrityError
from shared.models.registry import Registry
from shared.models.runs import DataSource
from shared.models.session import OnnxModel
from shared.runtime.clock import Clock
from shared.runtime.code_commit import code_commit
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

Show = Callable[[str, Progress | None], None]
"""Told which part of a run begins, and how far a search is."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Trainer:
    """Trains the fraud model.

    A crash after the registry took a version and before it was announced leaves that version unannounced, which harms
    nobody: the run is repeated, from the steps that it had finished, and takes the next number.
    """

    def __init__(
        self,
        archive: Archive,
        registry: Registry,
        feature_set: FeatureSet,
        settings: TrainingSettings,
        clock: Clock,
        *,
        show: Show = lambda _part, _progress: None,
    ) -> None:
        self._archive = archive
        self._registry = registry
        self._settings = settings
        self._clock = clock
        self._shown = show
        self._code_commit = settings.headrace_code_commit or code_commit()
        self.feature_set = feature_set

    @property
    def feature_version(self) -> str:
        """Digest of the features that its models are made for."""
        return self.feature_set.version

    def run(self, champion: ModelEvent | None, *, now: datetime) -> list[Step]:
        """Train on what is archived now; return what to announce, in order. A refusal is an answer, not an error."""
        return ended(lambda: self._run(champion, now))

    def show_champion(self, promoted: ModelEvent) -> None:
        """Let the registry show who is champion."""
        show_champion(self._registry, promoted)

    def _run(self, champion: ModelEvent | None, now: datetime) -> list[Step]:
        self._show("reading the archive")
        data = read_training_set(self._archive, self.feature_set, self._settings)
        log.info("training", **fields(rows=len(data.frauds), frauds=int(data.frauds.sum()), as_of=data.as_of))
        run_id = self._begun(data)
        jobs = self._settings.headrace_training_jobs
        with threadpool_limits(jobs if jobs > 0 else None):
            return failing(self._registry, run_id, lambda: self._made(run_id, data, champion, now))

    def _show(self, part: str, progress: Progress | None = None) -> None:
        """Tell which part of the run begins, in the log too."""
        if progress is None:
            log.info("run: %s", part)
        self._shown(part, progress)

    def _begun(self, data: TrainingSet) -> str:
        """Open a run in the registry, before anything is spent on it."""
        tags = {"feature_version": data.feature_set.version, "code_commit": self._code_commit or "unknown"}
        run_id = self._registry.begin(MODEL_NAME, parameters=self._settings.of_runs, tags=tags)
        first, last = (_EPOCH + timedelta(microseconds=int(data.times[at])) for at in (0, -1))
        source = DataSource(
            data.digest,
            str(self._settings.headrace_home / "archive"),
            first,
            last,
            len(data.frauds),
            int(data.frauds.sum()),
        )
        self._registry.log_data(run_id, source)
        return run_id

    def _made(self, run_id: str, data: TrainingSet, champion: ModelEvent | None, now: datetime) -> list[Step]:
        """Make, gate and register a model; raises RefusedError, and then nothing was registered."""
        steps = Steps(self._settings.headrace_home / "steps")
        inspected = self._inspected(data)
        incumbent = self._incumbent(champion)
        choice = chosen(
            data, incumbent, self._settings, steps, self._clock, lambda progress: self._show("searching", progress)
        )
        measured = self._measured(choice.recipe, choice.data, steps)
        self._tell_reused(choice, measured)
        self._show("export, gates, report")
        onnx = export(measured.candidate.model, data.rows.shape[1])
        version = self._registry.reserve(MODEL_NAME, run_id)
        manifest = manifest_of(choice.data, measured, onnx, version=version, now=now, code_commit=self._code_commit)
        model = OnnxModel(manifest, onnx)
        with export_counted(MODEL_NAME):
            difference = check_export(model, measured.candidate.model, choice.data, measured.candidate.held_out)
        verdict = judged(
            model,
            incumbent,
            measured.candidate,
            measured.evaluation,
            self._settings,
            monotonic_seconds=self._clock.monotonic_seconds,
        )
        count_verdict(MODEL_NAME, verdict.rails, verdict.test)
        told = report_input(
            inspected,
            choice,
            measured,
            model,
            incumbent,
            verdict,
            costs=costs_of(self._settings),
            export_difference=difference,
            label_delay_days=self._settings.headrace_training_label_delay_days,
        )
        with tempfile.TemporaryDirectory() as folder:
            write_report(Path(folder), told)
            manifest_digest = register(
                self._registry, manifest, onnx, run_id=run_id, card=model_card(told), report=Path(folder)
            )
        keep(measured.candidate.model, manifest.model_digest, steps)
        return _announced(manifest, manifest_digest, verdict)

    def _inspected(self, data: TrainingSet) -> Inspected:
        self._show("looking at the data")
        quality = quality_of(data, exact_rows(self._archive, data))
        require_usable(quality)
        bounds = LeakageBounds(auc=self._settings.headrace_training_leakage_auc)
        checks = check_leakage(data, held_out_periods(data, self._settings), self._archive, bounds)
        return Inspected(data, quality, checks)

    def _incumbent(self, champion: ModelEvent | None) -> Champion:
        if champion is None:
            return Champion(None, "the first model")
        try:
            manifest, onnx = self._registry.load(
                MODEL_NAME,
                champion.model_version,
                digest=champion.model_digest,
                manifest_digest=champion.manifest_digest,
            )
            incumbent = OnnxModel(manifest, onnx)
        except (ModelIntegrityError, ValueError) as error:
            return Champion(None, f"the champion cannot be loaded: {error}")
        if manifest.feature_version != self.feature_set.version:
            what = f"version {champion.model_version} was made for other features, which are no longer computed"
            return Champion(None, what)
        return Champion(incumbent, "")

    def _measured(self, recipe: Recipe, data: TrainingSet, steps: Steps) -> Measured:
        self._show(f"training {recipe.told}")
        candidate = make_candidate(recipe, data, self._settings, steps)
        held_out = candidate.held_out
        scored = Scored(
            held_out.frauds, candidate.scores, held_out.cards, held_out.times, held_out.amounts, held_out.rows
        )
        costs = costs_of(self._settings)
        capacity = self._settings.headrace_training_reviews_a_day_max
        thresholds = choose_thresholds(scored, costs, reviews_a_day_max=capacity)
        return Measured(candidate, thresholds, scored, evaluate(scored, thresholds, costs))

    def _tell_reused(self, choice: Choice, measured: Measured) -> None:
        trials = sum(trial.reused for trial in choice.found.trials)
        steps = [f"{trials} of {len(choice.found.trials)} trials"] * (trials > 0) + list(measured.candidate.reused)
        if steps:
            self._show(f"reused from earlier runs: {', '.join(steps)}")


def costs_of(settings: TrainingSettings) -> Costs:
    """Return the cost matrix that the settings state."""
    return Costs(
        review_minor_units=settings.headrace_training_review_cost_minor_units,
        chargeback_minor_units=settings.headrace_training_chargeback_cost_minor_units,
        declined_genuine_minor_units=settings.headrace_training_declined_cost_minor_units,
        declined_genuine_share=settings.headrace_training_declined_cost_share,
    )


def _announced(manifest: Manifest, manifest_digest: str, verdict: Verdict) -> list[Step]:
    registered = Step(
        "registered",
        f"passed the export gate: {manifest.estimator} on {manifest.training_rows} payments up to "
        f"{manifest.trained_until:%Y-%m-%d %H:%M} UTC",
        manifest.model_version,
        manifest.model_digest,
        manifest_digest,
        manifest.data_digest,
        manifest.metrics,
    )
    compared = {} if verdict.test is None else {"lead": verdict.test.lead, "p_value": verdict.test.p_value or 1.0}
    last = Step(
        "promoted" if verdict.promoted else "refused",
        verdict.reason,
        manifest.model_version,
        manifest.model_digest,
        manifest_digest,
        manifest.data_digest,
        compared,
    )
    return [registered, last]
