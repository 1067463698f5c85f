"""The models in service, and the worker that follows the `models` topic to keep the announced ones there."""

import logging
import threading
from collections.abc import Callable
from typing import Generic, NamedTuple

from services.scoring.roles import Canary, M, Roles
from shared.bus.base import Bus, BusUnavailableError, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS, TOPICS
from shared.models.lineage import Standing
from shared.models.packages import ModelIntegrityError
from shared.models.registry import RegistryUnavailableError
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_CHAMPION, _CANARY, _CHALLENGER = "champion", "canary", "challenger"


class _Wanted(NamedTuple):
    """A version that was given a role, and the role."""

    event: ModelEvent
    role: str


class Deployment(Generic[M]):
    """Follows `models`; whoever is given a role there has it from the next request or batch on.

    `roles` is replaced as a whole, so one request sees one set of roles. A version is fetched, checked, loaded and
    warmed before it becomes visible. One that fails any of that stays out and is tried again; metrics tell. The
    champion goes before the others, and stays while the one that shall replace it cannot be loaded. Between two
    versions the topic is read again, so a rollback does not wait for a challenger.
    """

    def __init__(
        self,
        bus: Bus,
        load: Callable[[ModelEvent], M],
        clock: Clock,
        *,
        model_name: str,
        retry_seconds: float,
        asks_challengers: bool = True,
    ) -> None:
        """Wire it.

        load: returns the version that an event names, ready to serve; raises ModelIntegrityError where it is missing or
            not as announced, RegistryUnavailableError where it cannot be fetched now, ValueError where it does not do
            what its manifest says. retry_seconds: after which it is tried again. asks_challengers: whether anybody asks
            them; otherwise none is loaded.
        """
        self.name = f"deployment of {model_name}"
        self._bus = bus
        self._load_model = load
        self._clock = clock
        self._model_name = model_name
        self._retry_seconds = retry_seconds
        self._asks_challengers = asks_challengers
        self._standing = Standing()
        self._loaded: dict[int, M] = {}
        self._retry_at: dict[int, float] = {}
        self._announced_ms: dict[int, int] = {}
        self._is_ready = False
        self.roles = Roles[M]()
        self._swap_seconds = metrics.MODEL_SWAP_SECONDS.labels(model_name)
        self._load_failures = metrics.MODEL_LOAD_FAILURES.labels(model_name)

    def problem(self) -> str | None:
        """Tell why nothing can be decided yet: who decides is not known, or was not tried."""
        return None if self._is_ready else "the models topic has not been read yet"

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(stop)
            except BusUnavailableError as error:
                log.warning("the %s waits: %s", self.name, error)
                stop.wait(1.0)

    def _follow(self, stop: threading.Event) -> None:
        self._bus.create_topics(TOPICS)
        tail = self._bus.tail([MODELS.name], start="oldest")
        self._standing = Standing()
        try:
            while not stop.is_set():
                is_new = tail.caught_up()
                due = self._due() if is_new else None
                for record in tail.poll(wait_seconds=0 if due else _POLL_SECONDS):
                    self._note(record, is_new=is_new)
                # Only the roles at the topic's end count, so nothing is loaded before that is reached.
                if tail.caught_up():
                    self._advance()
        finally:
            tail.close()

    def _note(self, record: Record, *, is_new: bool) -> None:
        """Take in what was announced; is_new: while this process listened."""
        try:
            event = codec.decode_record(MODELS, record.key, record.value)
        except BadRecordError as error:
            metrics.DEAD_LETTERS.labels("scoring", MODELS.name, error.error).inc()
            log.error("a record on models was ignored: %s", error, **fields(offset=record.offset))  # noqa: TRY400
            return
        if isinstance(event, ModelEvent) and event.model_name == self._model_name:
            self._standing = self._standing.after(event)
            if is_new:
                self._announced_ms[event.model_version] = record.produced_ms
            if self._standing.challengers and not self._asks_challengers:
                told = "nobody asks challengers of %s: version %d is not loaded; try it as a canary"
                log.warning(told, self._model_name, event.model_version)
                self._standing = self._standing._replace(challengers=())

    def _advance(self) -> None:
        """Show the roles as far as their versions are loaded, and load one that is not."""
        due = self._due()
        if due is not None:
            self._load(due)
        self._show()
        following = self._due()
        self._is_ready = self._is_ready or following is None or following.role == _CHALLENGER

    def _wanted(self) -> list[_Wanted]:
        """Return who has a role, those that decide first."""
        now = self._standing
        deciding = [(now.champion, _CHAMPION), (now.canary, _CANARY)]
        wanted = [_Wanted(event, role) for event, role in deciding if event is not None]
        return [*wanted, *(_Wanted(event, _CHALLENGER) for event in now.challengers)]

    def _due(self) -> _Wanted | None:
        """Return whose turn it is to be loaded."""
        now = self._clock.monotonic_seconds()
        waiting = (wanted for wanted in self._wanted() if self._model(wanted.event) is None)
        return next((each for each in waiting if self._retry_at.get(each.event.model_version, now) <= now), None)

    def _model(self, event: ModelEvent | None) -> M | None:
        """Return the model that an event names, where it is loaded."""
        model = self._loaded.get(event.model_version) if event else None
        return model if model and event and model.manifest.model_digest == event.model_digest else None

    def _load(self, wanted: _Wanted) -> None:
        event, version = wanted.event, wanted.event.model_version
        try:
            self._loaded[version] = self._load_model(event)
        except (ModelIntegrityError, RegistryUnavailableError, ValueError) as error:
            self._retry_at[version] = self._clock.monotonic_seconds() + self._retry_seconds
            self._load_failures.inc()
            about = fields(role=wanted.role, trace_id=event.trace_id)
            log.error("version %d stays out of service: %s", version, error, **about)  # noqa: TRY400
            return
        self._retry_at.pop(version, None)
        log.info("version %d is loaded", version, **fields(role=wanted.role, trace_id=event.trace_id))

    def _show(self) -> None:
        """Put into service who is loaded, in one assignment; let go of what nobody needs any more."""
        now = self._standing
        canary, share = self._model(now.canary), now.canary.share if now.canary else None
        challengers = (self._model(event) for event in now.challengers)
        roles = Roles(
            champion=self._model(now.champion) or self.roles.champion,
            canary=Canary(canary, share) if canary and share else None,
            challengers=tuple(model for model in challengers if model is not None),
        )
        if roles != self.roles:
            self._tell(roles)
            self.roles = roles
        wanted = self._wanted()
        for role in (_CHAMPION, _CANARY, _CHALLENGER):
            waiting = [each.event for each in wanted if each.role == role and self._model(each.event) is None]
            version = min((event.model_version for event in waiting), default=0)
            metrics.MODEL_WAITING_VERSION.labels(self._model_name, role).set(version)
        needed = {each.event.model_version for each in wanted} | {version for role, version in _named(roles)}
        self._loaded = {version: model for version, model in self._loaded.items() if version in needed}
        self._retry_at = {version: at for version, at in self._retry_at.items() if version in needed}
        self._announced_ms = {version: at for version, at in self._announced_ms.items() if version in needed}

    def _tell(self, roles: Roles[M]) -> None:
        """Let the log and the metrics show that `roles` take the place of those before."""
        before, after = _named(self.roles), _named(roles)
        for role, version in before - after:
            metrics.MODEL_IN_SERVICE.remove(self._model_name, role, str(version))
            log.info("version %d is %s no more", version, role)
        for role, version in after - before:
            metrics.MODEL_IN_SERVICE.labels(self._model_name, role, str(version)).set(1)
            log.info("version %d is %s", version, role)
            self._tell_swap(version)
        self._tell_ages(roles)
        metrics.MODEL_VERSION.labels(self._model_name).set(
            roles.champion.manifest.model_version if roles.champion else 0
        )

    def _tell_swap(self, version: int) -> None:
        announced_ms = self._announced_ms.pop(version, None)
        if announced_ms is not None:
            self._swap_seconds.observe(max(0.0, self._clock.now().timestamp() - announced_ms / 1000))

    def _tell_ages(self, roles: Roles[M]) -> None:
        """Show how old the models in service are; no role tells of one that left it."""
        before, after = _trained_seconds(self.roles), _trained_seconds(roles)
        for role in before.keys() - after.keys():
            metrics.MODEL_TRAINED_TIMESTAMP_SECONDS.remove(self._model_name, role)
        for role, trained_seconds in after.items():
            metrics.MODEL_TRAINED_TIMESTAMP_SECONDS.labels(self._model_name, role).set(trained_seconds)


def _holders(roles: Roles[M]) -> list[tuple[str, M]]:
    """Return each role and the model that has it; of challengers there may be several."""
    holders = [(_CHAMPION, roles.champion), (_CANARY, roles.canary.model if roles.canary else None)]
    holders += [(_CHALLENGER, model) for model in roles.challengers]
    return [(role, model) for role, model in holders if model is not None]


def _trained_seconds(roles: Roles[M]) -> dict[str, float]:
    """Return by role when its model was trained, in Unix time; of several, the one trained first."""
    times: dict[str, float] = {}
    for role, model in _holders(roles):
        trained_seconds = model.manifest.trained_at.timestamp()
        times[role] = min(trained_seconds, times.get(role, trained_seconds))
    return times


def _named(roles: Roles[M]) -> set[tuple[str, int]]:
    """Return each role and the version that has it."""
    return {(role, model.manifest.model_version) for role, model in _holders(roles)}
