"""Batches to the archive, and retraining requests to what is announced on `models`."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol

from services.training.archive import Archive
from services.training.attempts import Attempts
from services.training.gates.counting import begin_at_zero
from services.training.model_log import ACTOR, History, ModelLog
from services.training.outcome import Step
from shared.bus.base import Outgoing, Record
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import MODELS
from shared.models.manifest import MODEL_NAME
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.dead_letters import dead_letter
from shared.runtime.logs import fields
from shared.runtime.loop import Delivery

log = logging.getLogger(__name__)

RATE_LIMITER = "training-rate-limit"
"""Actor of a refusal without a run."""
LIMITED = "drift"
"""Who is limited; people are not."""
RUNS_MAX = 2
"""Runs of one request that may come to no end before it is refused."""

Staged = Literal["drift", "always", "never"]
"""Whose models are tried as challengers before they come into force."""

_ACTIONS = ("registered", "promoted", "shadowed", "refused")


class ArchiveHandler:
    """Puts a batch into the archive; answers nothing. The batch is on disk before the loop commits it."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        self._archive.write(deliveries)
        for delivery in deliveries:
            metrics.ARCHIVED_ROWS.labels(delivery.record.topic).inc()
        return []


class Trains(Protocol):
    """What a request for one model sets going."""

    @property
    def feature_version(self) -> str:
        """Digest of what its models take in."""
        ...

    def run(self, champion: ModelEvent | None, *, now: datetime) -> list[Step]:
        """Train, judge by the version in force, and return what to announce, in order."""
        ...

    def show_champion(self, promoted: ModelEvent) -> None:
        """Told once a promotion is announced."""
        ...


class Answer(NamedTuple):
    """What is to be announced about one request.

    at: when the run read its data. champion: the model the steps were judged by. outcome: as counted, where it is not
    the last action.
    """

    request: RetrainingRequest
    at: datetime
    steps: list[Step]
    outcome: str | None
    actor: str = ACTOR
    champion: ModelEvent | None = None


class RequestHandler:
    """Answers retraining requests.

    What was answered is read from `models` itself, so a request that comes again after a crash changes nothing, nor
    does one that another process has answered while this one trained. A request made before the latest run read its
    data is answered by that run: ten alarms in a row train once. Whoever waits for an answer takes the first event of a
    run that is later than the request.

    A run that raises what nobody expected is a bug, and ends the process. Its request is then delivered again, and
    would end every process after it: so a request whose runs have twice come to no end is refused, whether an exception
    ended them or the process was killed. Stopping the service in mid-run counts as well; who asked may ask again.
    """

    def __init__(
        self,
        trainers: Mapping[str, Trains],
        model_log: ModelLog,
        attempts: Attempts,
        clock: Clock,
        *,
        interval: timedelta,
        staged: Staged = "never",
    ) -> None:
        """Wire the handler.

        trainers: by model name. interval: how soon after a run for a model began drift may have another. staged: whose
            models of fraud begin as challengers, for a rollout to take them on; nobody asks challengers of others.
        """
        self._trainers = trainers
        self._log = model_log
        self._attempts = attempts
        self._clock = clock
        self._interval = interval
        self._staged = staged
        self._unannounced: Answer | None = None
        self._running = {name: metrics.TRAINING_RUNNING.labels(name) for name in trainers}
        begin_at_zero()

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        outgoing: list[Outgoing] = []
        for record, request in deliveries:
            if not isinstance(request, RetrainingRequest):
                continue
            if request.model_name in self._trainers:
                self._answer(record, request)
            else:
                outgoing.append(self._rejected(record, request))
        return outgoing

    def _answer(self, record: Record, request: RetrainingRequest) -> None:
        history = self._log.history()
        outcome: str = "coalesced"
        if not _is_answered(history, record, request):
            answer = self._unannounced
            if answer is None or answer.request.event_id != request.event_id:
                # Kept until it is announced: a log that is away for a moment costs no second run.
                answer = self._unannounced = self._answer_to(request, history)
            announced = self._log.append(
                lambda now: [] if _is_answered(now, record, request) else self._events(answer, now)
            )
            if announced:
                outcome = answer.outcome or announced[-1].action
                if announced[-1].action == "promoted":
                    self._trainers[request.model_name].show_champion(announced[-1])
        self._unannounced = None
        self._attempts.forget(request.event_id)
        metrics.TRAININGS.labels(request.model_name, outcome).inc()
        about = fields(outcome=outcome, trace_id=request.trace_id, event_id=request.event_id)
        log.info("request for %s answered", request.model_name, **about)

    def _answer_to(self, request: RetrainingRequest, history: History) -> Answer:
        now = self._clock.now()
        last_run = history.last_run(request.model_name)
        if request.requested_by == LIMITED and last_run is not None and now < last_run + self._interval:
            reason = (
                f"the latest run began at {_told(last_run)}; runs that {LIMITED} asks for begin at least "
                f"{self._interval.total_seconds():g} s apart: ask again after {_told(last_run + self._interval)}"
            )
            return Answer(request, now, [Step("refused", reason)], "limited", RATE_LIMITER)
        try:
            begun, ending = self._attempts.made(request.event_id)
            if begun < RUNS_MAX:
                self._attempts.begin(request.event_id)
        except OSError as error:
            reason = f"a run must be noted before it begins: {error}; mend it and ask again"
            return Answer(request, now, [Step("refused", reason)], "impossible")
        if begun >= RUNS_MAX:
            reason = f"failed twice: {ending}; the log of training tells more; mend it and ask again"
            return Answer(request, now, [Step("refused", reason)], "failed")
        return self._run(request, history.champion(request.model_name), now)

    def _run(self, request: RetrainingRequest, champion: ModelEvent | None, now: datetime) -> Answer:
        started = self._clock.monotonic_seconds()
        try:
            with self._running[request.model_name].track_inprogress():
                steps = self._trainers[request.model_name].run(champion, now=now)
        except Exception as error:
            self._attempts.failed(request.event_id, error)
            raise
        metrics.TRAINING_SECONDS.labels(request.model_name).observe(self._clock.monotonic_seconds() - started)
        log.info("run ended: %s", steps[-1].reason, **fields(trace_id=request.trace_id))
        return Answer(request, now, steps, None if steps[-1].model_version else "impossible", champion=champion)

    def _events(self, answer: Answer, history: History) -> list[ModelEvent]:
        champion = history.champion(answer.request.model_name)
        steps = [_judged_again(step, judged_by=answer.champion, champion=champion) for step in answer.steps]
        if self._is_staged(answer.request, champion):
            steps = [_tried_first(step) for step in steps]
        return [self._event(answer, step) for step in steps]

    def _is_staged(self, request: RetrainingRequest, champion: ModelEvent | None) -> bool:
        """Tell whether a model is tried before it replaces `champion`; one that cannot serve is replaced at once."""
        if request.model_name != MODEL_NAME or champion is None:
            return False
        if champion.feature_version != self._trainers[MODEL_NAME].feature_version:
            return False
        return self._staged == "always" or (self._staged == "drift" and request.requested_by == LIMITED)

    def _event(self, answer: Answer, step: Step) -> ModelEvent:
        return ModelEvent(
            event_id=_event_id(answer.request, step.action),
            occurred_at=answer.at,
            trace_id=answer.request.trace_id,
            model_name=answer.request.model_name,
            model_version=step.model_version,
            action=step.action,
            model_digest=step.model_digest,
            manifest_digest=step.manifest_digest,
            data_digest=step.data_digest,
            feature_version=self._trainers[answer.request.model_name].feature_version,
            actor=answer.actor,
            reason=step.reason[:4096],
            # JSON has no word for a measure that is undefined.
            metrics={name: value for name, value in step.metrics.items() if math.isfinite(value)},
            previous_digest=None,
        )

    def _rejected(self, record: Record, request: RetrainingRequest) -> Outgoing:
        known = " or ".join(map(repr, self._trainers))
        explanation = f"no model {request.model_name!r} is trained here; ask for {known}"
        metrics.DEAD_LETTERS.labels(ACTOR, record.topic, "unknown_model").inc()
        return dead_letter(ACTOR, record, BadRecordError("unknown_model", explanation), self._clock.now())


def _judged_again(step: Step, *, judged_by: ModelEvent | None, champion: ModelEvent | None) -> Step:
    """Return `step`, refused where it would replace another champion than the one it was judged by."""
    then, now = _version(judged_by), _version(champion)
    if step.action != "promoted" or then == now:
        return step
    reason = (
        f"while this one was trained, {f'version {now}' if now else 'no version'} came into force in the place of "
        f"{f'version {then}' if then else 'none'}, which it was judged by; ask for another run"
    )
    return replace(step, action="refused", reason=reason)


def _tried_first(step: Step) -> Step:
    """Return `step` with the first stage of a rollout in the place of a promotion."""
    if step.action != "promoted":
        return step
    return replace(step, action="shadowed", reason=f"{step.reason}. It is tried as a challenger first")


def _version(event: ModelEvent | None) -> int:
    return 0 if event is None else event.model_version


def _is_answered(history: History, record: Record, request: RetrainingRequest) -> bool:
    last_run = history.last_run(request.model_name)
    if last_run is not None and record.produced_ms < last_run.timestamp() * 1000:
        return True
    return history.holds(frozenset(_event_id(request, action) for action in _ACTIONS))


def _event_id(request: RetrainingRequest, action: str) -> str:
    return derived_event_id(request.occurred_at, MODELS.name, request.event_id, action)


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
