"""One training run of the recommender: archive → blend → stand-in on held-out touches → refit → gates → registry."""

import logging
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from threadpoolctl import threadpool_limits

from services.training.archive import Archive
from services.training.endings import ended, failing, register, show_champion
from services.training.gates.counting import count_verdict, export_counted
from services.training.gates.guard_rails import GuardRail
from services.training.outcome import Step
from services.training.recommendation.blending import learned
from services.training.recommendation.card import model_card
from services.training.recommendation.cases import (
    Cases,
    held_out_cases,
    held_out_since,
    histories_before,
    ranked,
)
from services.training.recommendation.explorations import explored_places
from services.training.recommendation.export import export
from services.training.recommendation.export_gate import check_export, probes_of
from services.training.recommendation.fitting import Vocabulary, fit
from services.training.recommendation.histories import Histories
from services.training.recommendation.interactions import Interactions, read_interactions, require_usable
from services.training.recommendation.manifests import manifest_of
from services.training.recommendation.off_policy_gate import judge
from services.training.recommendation.plan import Plan
from services.training.recommendation.promotion import coverage, judged, measured
from services.training.recommendation.report import Contender, RecommenderReport, write_report
from services.training.refusal import RefusedError
from services.training.settings import TrainingSettings
from services.training.verdict import Verdict
from shared.contracts.events import ModelEvent
from shared.models.manifest import RECOMMENDATION, RecommendationManifest
from shared.models.packages import ModelIntegrityError
from shared.models.recommender import RecommenderModel
from shared.models.registry import Registry
from shared.models.runs import DataSource
from shared.recommendation.feature_version import FEATURE_VERSION
from shared.runtime.clock import Clock
from shared.runtime.code_commit import code_commit
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

Show = Callable[[str, None], None]
"""Told which part of a run begins."""


class RecommendationTrainer:
    """Trains the recommender; what a crash leaves behind harms nobody, as with the Trainer of fraud."""

    feature_version = FEATURE_VERSION

    def __init__(
        self,
        archive: Archive,
        registry: Registry,
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

    def run(self, champion: ModelEvent | None, *, now: datetime) -> list[Step]:
        """Train on what is archived now; return what to announce, in order. A refusal is an answer, not an error."""
        return ended(lambda: self._run(champion, now))

    def show_champion(self, promoted: ModelEvent) -> None:
        """Let the registry show who is champion."""
        show_champion(self._registry, promoted)

    def _run(self, champion: ModelEvent | None, now: datetime) -> list[Step]:
        self._show("reading the archive")
        data = read_interactions(self._archive, self._settings, now=now)
        require_usable(data, self._settings)
        log.info("training", **fields(rows=len(data.trust), shoppers=len(data.user_ids), items=len(data.item_ids)))
        run_id = self._begun(data)
        jobs = self._settings.headrace_training_jobs
        with threadpool_limits(jobs if jobs > 0 else None):
            return failing(self._registry, run_id, lambda: self._made(run_id, data, champion, now))

    def _show(self, part: str) -> None:
        """Tell which part of the run begins, in the log too."""
        log.info("run: %s", part)
        self._shown(part, None)

    def _begun(self, data: Interactions) -> str:
        """Open a run in the registry, before anything is spent on it."""
        tags = {"feature_version": FEATURE_VERSION, "code_commit": self._code_commit or "unknown"}
        run_id = self._registry.begin(RECOMMENDATION, parameters=self._settings.of_runs, tags=tags)
        where = str(self._settings.headrace_home / "archive")
        source = DataSource(data.digest, where, data.first_at, data.as_of, len(data.trust), name="interactions")
        self._registry.log_data(run_id, source)
        return run_id

    def _made(self, run_id: str, data: Interactions, champion: ModelEvent | None, now: datetime) -> list[Step]:
        """Make, gate and register a model; raises RefusedError, and then nothing was registered."""
        incumbent, absence = self._incumbent(champion)
        since_us, cases = self._held_out(data, incumbent)
        vocabulary = self._vocabulary(data)
        earlier = data.histories.before(since_us)
        plan = self._plan(earlier, vocabulary)
        self._show("measuring a stand-in on what came after it")
        stand_in = self._loaded(data, plan, export(fit(earlier, plan, vocabulary)), now)
        contenders = _contenders(stand_in, incumbent, data, cases)
        verdict = self._verdict(contenders, cases, data, since_us, absence)
        self._show("fitting on everything")
        recommender = fit(data.histories, plan, vocabulary)
        self._show("export, gates, report")
        onnx = export(recommender)
        manifest = manifest_of(data, plan, onnx, contenders[0].figures, now=now, code_commit=self._code_commit)
        model = RecommenderModel(manifest, onnx)
        held_out = histories_before(model, data, cases)
        with export_counted(RECOMMENDATION):
            difference = check_export(model, recommender, held_out)
        count_verdict(RECOMMENDATION, verdict.rails, verdict.test)
        version = self._registry.reserve(RECOMMENDATION, run_id)
        manifest = replace(manifest, model_version=version, probes=probes_of(model, held_out))
        told = RecommenderReport(manifest, verdict, data, contenders[0], contenders[1:], difference)
        with tempfile.TemporaryDirectory() as folder:
            write_report(Path(folder), told)
            manifest_digest = register(
                self._registry, manifest, onnx, run_id=run_id, card=model_card(told), report=Path(folder)
            )
        return _announced(manifest, manifest_digest, verdict)

    def _incumbent(self, champion: ModelEvent | None) -> tuple[RecommenderModel | None, str]:
        """Return the champion, or None and why there is none to be held against."""
        if champion is None:
            return None, "the first model"
        try:
            manifest, onnx = self._registry.load(
                RECOMMENDATION,
                champion.model_version,
                digest=champion.model_digest,
                manifest_digest=champion.manifest_digest,
                kind=RecommendationManifest,
            )
            incumbent = RecommenderModel(manifest, onnx)
        except (ModelIntegrityError, ValueError) as error:
            return None, f"the champion cannot be loaded: {error}"
        if manifest.feature_version != FEATURE_VERSION:
            return None, f"version {champion.model_version} was made for other histories, which are no longer kept"
        return incumbent, ""

    def _held_out(self, data: Interactions, incumbent: RecommenderModel | None) -> tuple[int, Cases]:
        """Return from when on interactions are held out, microseconds since 1970, and the cases among them."""
        until = None if incumbent is None else incumbent.manifest.trained_until
        since_us = held_out_since(data, until, fraction=self._settings.headrace_training_holdout_fraction)
        cases = held_out_cases(data, since_us=since_us)
        if not len(cases.events):
            raise RefusedError(
                "nothing_new",
                f"no trusted shopper touched an item for the first time since {_time(since_us):%Y-%m-%d %H:%M} UTC, "
                "so that nothing could be foretold; ask again when more interactions have come",
            )
        return since_us, cases

    def _vocabulary(self, data: Interactions) -> Vocabulary:
        return Vocabulary(
            item_ids=data.item_ids,
            traits=data.traits,
            segments=data.segments,
            segment_attribute=self._settings.headrace_training_segment_attribute if data.segments else None,
            kind_weights={str(kind): weight for kind, weight in self._settings.headrace_training_kind_weights.items()},
        )

    def _plan(self, earlier: Histories, vocabulary: Vocabulary) -> Plan:
        self._show("learning the blend")
        try:
            return learned(
                earlier,
                vocabulary,
                seconds_max=self._settings.headrace_training_blend_seconds,
                monotonic_seconds=self._clock.monotonic_seconds,
            )
        except ValueError as error:
            raise RefusedError("no_blend", str(error)) from error

    def _loaded(self, data: Interactions, plan: Plan, onnx: bytes, now: datetime) -> RecommenderModel:
        """Return a model that is not registered."""
        return RecommenderModel(manifest_of(data, plan, onnx, {}, now=now, code_commit=None), onnx)

    def _verdict(
        self, contenders: Sequence[Contender], cases: Cases, data: Interactions, since_us: int, absence: str
    ) -> Verdict:
        """Hold the first of the contenders against the second."""
        candidate, rival = contenders[:2]
        rails = []
        if not absence:
            loss_max = self._settings.headrace_training_coverage_loss_max
            distrusted = np.unique(data.histories.users[data.trust < 1])
            explored = explored_places(
                self._archive, since=_time(since_us), without=[data.user_ids[user] for user in distrusted]
            )
            judgement = judge(explored, candidate.model, rival.model)
            rails = [
                coverage(candidate.ranked, rival.ranked, loss_max=loss_max),
                GuardRail("off-policy", judgement.passed, judgement.explanation),
            ]
        return judged(
            candidate.ranked,
            rival.ranked,
            cases,
            against=f"{rival.name} ({absence})" if absence else rival.name,
            rails=rails,
            error_rate=self._settings.headrace_training_error_rate,
        )


def _contenders(
    stand_in: RecommenderModel, incumbent: RecommenderModel | None, data: Interactions, cases: Cases
) -> tuple[Contender, ...]:
    """Return the stand-in, the champion where there is one, and popularity alone, each on the held-out cases."""
    found = [("the stand-in", stand_in, ranked(stand_in, data, cases))]
    if incumbent is not None:
        found.append((f"version {incumbent.manifest.model_version}", incumbent, ranked(incumbent, data, cases)))
    found.append(("popularity alone", stand_in, ranked(stand_in, data, cases, popularity_alone=True)))
    items = len(data.item_ids)
    return tuple(Contender(name, model, made, measured(made, cases, items=items)) for name, model, made in found)


def _time(since_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since_us)


def _announced(manifest: RecommendationManifest, manifest_digest: str, verdict: Verdict) -> list[Step]:
    about = (manifest.model_version, manifest.model_digest, manifest_digest, manifest.data_digest)
    registered = (
        f"passed the export gate: {manifest.family} on {manifest.training_rows} interactions up to "
        f"{manifest.trained_until:%Y-%m-%d %H:%M} UTC"
    )
    test = verdict.test
    compared = {} if test is None or test.p_value is None else {"lead": test.lead, "p_value": test.p_value}
    return [
        Step("registered", registered, *about, manifest.metrics),
        Step("promoted" if verdict.promoted else "refused", verdict.reason, *about, compared),
    ]
