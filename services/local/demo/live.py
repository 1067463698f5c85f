"""The live part of the demo: payments stream and shoppers come, both change, the platform notices and recovers."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.markup import escape

from services.local.demo.display import DemoDisplay
from services.local.demo.ledger import Decided, Ledger, Phase, detection, latency_ms
from services.local.demo.plan import Deadline, DemoError, DemoPlan
from services.local.demo.rows import LiveRow
from services.local.demo.shop_show import ShopShow, ShopStory
from services.local.demo.traffic import LiveTraffic
from services.local.demo.watch import Seen, Watch
from shared.contracts.events import DriftAlarm, ModelEvent, RetrainingRequest
from shared.models.manifest import MODEL_NAME
from shared.runtime.clock import Clock

_COLOURS = {"promoted": "green", "refused": "red", "rolled_back": "red"}


@dataclass(frozen=True)
class Story:
    """What happened after the new pattern began; times are monotonic seconds."""

    begun_at: float
    version_before: int
    request: Seen[RetrainingRequest]
    promotion: Seen[ModelEvent]
    shop: ShopStory | None


class LiveShow:
    """Runs the live phases and shows a row a second."""

    def __init__(  # noqa: PLR0913 - everything the show plays with
        self,
        *,
        plan: DemoPlan,
        display: DemoDisplay,
        ledger: Ledger,
        watch: Watch,
        traffic: LiveTraffic,
        shop: ShopShow | None,
        clock: Clock,
        healthy: Callable[[], None],
    ) -> None:
        """Look at what there is; `run` begins.

        healthy: raises DemoError when a part of the platform has died.
        """
        self._plan = plan
        self._display = display
        self._ledger = ledger
        self._watch = watch
        self._traffic = traffic
        self._shop = shop
        self._clock = clock
        self._healthy = healthy
        self._second = 0
        self._decided_shown = ledger.decided_total
        self._made_shown = ledger.made_total
        self._events_told = len(watch.news.events)
        self._next_row_at = clock.monotonic_seconds()

    def run(self) -> Story:
        """Show everything; raises DemoError when something did not happen in time."""
        with self._display.live():
            self._display.say("payments stream; the model that learnt from history decides")
            if self._shop is not None:
                self._display.say("shoppers ask what to look at; the recommender that learnt from history chooses")
            for _ in range(self._plan.before_seconds):
                self._row("before the new pattern")
            return self._new_pattern()

    def _new_pattern(self) -> Story:
        news = self._watch.news
        version_before = newest_version(self._ledger)
        begun_at = self._clock.monotonic_seconds()
        self._traffic.start_new_pattern()
        self._display.say("[bold yellow]a new fraud pattern begins[/]: cards are tested in bursts of small payments")
        if self._shop is not None:
            self._shop.change_taste()
            self._display.say("[bold yellow]tastes change[/]: shoppers take to a new collection, and other categories")

        deadline = Deadline(self._clock, self._plan.notice_seconds_max, "drift was not noticed")
        while (request := news.first(RetrainingRequest, MODEL_NAME, since=begun_at)) is None:
            self._row("the model has not learnt this pattern; waiting for drift to be noticed")
            deadline.check()
        deadline = Deadline(self._clock, self._plan.recovery_seconds_max, "recall did not recover")
        while not self._recovered(version_before):
            self._row("drift was noticed; waiting for a new model, and for recall to recover")
            deadline.check(lambda: self._so_far(version_before))
        promotion = news.promoted(MODEL_NAME, above=version_before)
        if promotion is None:
            raise DemoError("a new model decides, but nobody announced it")
        return Story(begun_at, version_before, request, promotion, self._shop_story())

    def _shop_story(self) -> ShopStory | None:
        """Go on until the shop's story is over too."""
        if self._shop is None:
            return None
        deadline = Deadline(self._clock, self._plan.recovery_seconds_max, "shoppers did not come to click again")
        while (status := self._shop.status()) is not None:
            self._row(status)
            deadline.check(self._shop.so_far)
        return self._shop.story()

    def _recovered(self, version_before: int) -> bool:
        during, after = during_and_after(self._ledger.decided(), version_before)
        plan = self._plan
        if sum(one.is_new_pattern for one in after) < plan.recovered_frauds:
            return False
        return (detection(after).recall or 0.0) >= (detection(during).recall or 0.0) + plan.recall_change_min

    def _so_far(self, version_before: int) -> str:
        during, after = (detection(part) for part in during_and_after(self._ledger.decided(), version_before))
        return (
            f"it was {during.recall or 0.0:.2f} with the old model, and is {after.recall or 0.0:.2f} over the "
            f"{after.frauds} frauds that the newest model decided"
        )

    def _row(self, status: str) -> None:
        """Wait for the next whole second and show what came in."""
        self._next_row_at += 1.0
        time.sleep(max(0.0, self._next_row_at - self._clock.monotonic_seconds()))
        self._check()
        self._tell_news()
        self._second += 1
        decided, made = self._ledger.decided(), self._ledger.made_total
        fresh = decided[self._decided_shown :]
        window = detection(one for one in decided[-self._plan.sliding_window_payments :] if one.model_version > 0)
        newest = self._traffic.newest
        row = LiveRow(
            second=self._second,
            simulated=newest.transaction.occurred_at if newest else None,
            payments=made - self._made_shown,
            decisions=len(fresh),
            latency_ms=latency_ms(fresh),
            alerts=sum(one.is_alert for one in fresh),
            precision=window.precision,
            recall=window.recall,
            model_version=newest_version(self._ledger),
        )
        self._display.row(row, status, None if self._shop is None else self._shop.row(self._second))
        self._decided_shown, self._made_shown = len(decided), made

    def _check(self) -> None:
        self._healthy()
        for failure in (self._watch.failure, self._traffic.failure, self._shop and self._shop.failure):
            if failure is not None:
                raise DemoError(failure)

    def _tell_news(self) -> None:
        fresh = self._watch.news.events[self._events_told :]
        self._events_told += len(fresh)
        alarms = [event for event, _ in fresh if isinstance(event, DriftAlarm)]
        for alarm in alarms:
            told = f"{alarm.model_name}: {alarm.explanation} {alarm.follows or ''}"
            self._display.say(f"[bold yellow]drift alarm, {alarm.kind},[/] {escape(told)}")
        for event, _ in fresh:
            if isinstance(event, RetrainingRequest):
                asked = f"{escape(event.requested_by)} asks for a new model, {escape(event.model_name)}"
                self._display.say(f"[bold yellow]{asked}[/], with what {len(event.evidence)} of its watches have seen")
            elif isinstance(event, ModelEvent) and event.action != "registered":
                colour = _COLOURS.get(event.action, "yellow")
                name = f"{event.model_name} {event.model_version or 'none'} {event.action}"
                self._display.say(f"[bold {colour}]{name}:[/] {escape(event.reason)}")


def newest_version(ledger: Ledger) -> int:
    """Return the version of the model that made the newest decision; 0 when there is none."""
    newest = ledger.decided(since=max(0, ledger.decided_total - 1))
    return newest[-1].model_version if newest else 0


def during_and_after(decided: list[Decided], version_before: int) -> tuple[list[Decided], list[Decided]]:
    """Return the decisions, on payments made under the new pattern, of the old model and of the newest one."""
    new_pattern = [one for one in decided if one.phase is Phase.NEW_PATTERN]
    newest = max((one.model_version for one in new_pattern), default=version_before)
    during = [one for one in new_pattern if one.model_version <= version_before]
    return during, [one for one in new_pattern if one.model_version == newest > version_before]
