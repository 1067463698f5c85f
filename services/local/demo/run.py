"""The demo: the whole life of two models on one machine, from history to the recovery from what they had not learnt.

Everything it shows is read from the topics, the answers and the services' metrics; nothing is staged but the payments
and the shoppers.
"""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from services.local.demo.display import DemoDisplay
from services.local.demo.history import HistoryFeed
from services.local.demo.ledger import Ledger
from services.local.demo.live import LiveShow, Story
from services.local.demo.plan import DEMO_PLAN, Deadline, DemoError, DemoPlan
from services.local.demo.shop_history import post_interactions, post_shop
from services.local.demo.shop_ledger import ShopLedger
from services.local.demo.shop_show import ShopShow
from services.local.demo.shop_traffic import ShopTraffic
from services.local.demo.summary import check, check_shop, summarise
from services.local.demo.traffic import LiveTraffic
from services.local.demo.watch import Watch
from services.local.errors import PlatformError
from services.local.model_request import request_training
from services.local.opening import open_platform
from services.local.platform import LocalPlatform
from services.local.simulation.shoppers import Shoppers
from services.local.simulation.simulator import Simulator
from shared.bus.base import BusUnavailableError
from shared.contracts.events import ModelEvent
from shared.contracts.topics import FEATURES, INTERACTIONS, LABELS, Topic
from shared.models.manifest import MODEL_NAME, RECOMMENDATION
from shared.runtime.clock import SystemClock

_REQUESTED_BY = "demo"
_POLL_SECONDS = 0.1
_HTTP_SECONDS_MAX = 30.0


def run_demo(console: Console, home: Path, plan: DemoPlan = DEMO_PLAN) -> int:
    """Run the demo below `home` and return its exit status: 0 when all of it happened, else 1.

    Whatever happens, nothing is left running.
    """
    display = DemoDisplay(console)
    folder = home / "demo"
    try:
        display.phase("1/6 Start: Kafka, Redis and five services")
        with _fresh(folder), open_platform(folder, plan.settings, say=display.done, watched=True) as platform:
            _Demo(platform, display, plan).run()
    except (DemoError, PlatformError, BusUnavailableError) as error:
        display.fail(f"{escape(str(error))}\n  Logs: {folder / 'logs'}")
        return 1
    except KeyboardInterrupt:
        display.fail("interrupted")
        return 1
    display.phase("Everything is stopped; `headrace up` starts the platform to stay.")
    return 0


@contextmanager
def _fresh(folder: Path) -> Iterator[None]:
    """Empty `folder`, and keep a second demo out of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError(f"another demo runs in {folder}; wait for it, or set HEADRACE_HOME") from error
        if folder.exists():
            shutil.rmtree(folder)
        yield


def _shoppers(plan: DemoPlan, now: datetime) -> Shoppers | None:
    """Return the shoppers of a shop that opened so long before `now` as the plan has history; None without a shop."""
    if plan.shop is None:
        return None
    opened = (now - plan.shop_history).replace(hour=0, minute=0, second=0, microsecond=0)
    return Shoppers(replace(plan.shop, start=opened))


class _Demo:
    """One run, phase by phase."""

    def __init__(self, platform: LocalPlatform, display: DemoDisplay, plan: DemoPlan) -> None:
        self._platform = platform
        self._display = display
        self._plan = plan
        self._clock = SystemClock()
        self._started = self._clock.monotonic_seconds()
        self._ledger = Ledger()
        self._simulator = Simulator(plan.world)
        self._shop_ledger = ShopLedger()
        self._shoppers = _shoppers(plan, self._clock.now())

    def run(self) -> None:
        """Run every phase; raises DemoError at the first thing that does not happen."""
        display, clock = self._display, self._clock
        self._platform.start(display.done)
        display.addresses(self._platform.addresses)
        with closing(Watch(self._platform.bus(), self._ledger, clock)) as watch:
            display.phase("2/6 History: simulated payments, late labels and shoppers, through ingest")
            self._feed_history(watch)
            display.phase("3/6 Training: the first models")
            self._train(watch)
            display.phase("4/6 Live: fraud and tastes change, drift, new models, recovery")
            story = self._live(watch)
            display.phase("5/6 Settling: every payment must have been decided, once")
            self._settle(watch)
        display.phase("6/6 Summary")
        seconds_total = clock.monotonic_seconds() - self._started
        summary = summarise(self._ledger, self._shop_ledger, story, seconds_total=seconds_total)
        display.summary(summary)
        check(self._ledger, story, self._plan)
        if story.shop is not None:
            check_shop(self._shop_ledger, story.shop, self._plan)

    def _feed_history(self, watch: Watch) -> None:
        plan, ledger = self._plan, self._ledger
        with self._client("ingest") as client, self._display.bars() as bars:
            interactions = 0 if self._shoppers is None else self._feed_shop(client, self._shoppers, bars)
            deadline = Deadline(self._clock, plan.history_seconds_max, "history was not taken in, decided and archived")
            posted = bars.add_task("payments posted to ingest", total=plan.history_payments, note="")
            decided = bars.add_task("decided", total=plan.history_payments, note="no model yet: all approved")
            archived = bars.add_task("archived for training", total=plan.history_payments, note="")
            feed = HistoryFeed(client, ledger, self._clock)

            def show() -> None:
                self._check_healthy()
                deadline.check(lambda: f"{ledger.decided_total} of {ledger.made_total} payments decided so far")
                bars.update(decided, completed=ledger.decided_total)
                bars.update(archived, completed=self._archived(FEATURES))

            def advanced(payments: int) -> None:
                bars.advance(posted, payments)
                bars.update(posted, note=f"{ledger.made_total / deadline.elapsed_seconds:,.0f} payments/s")
                show()

            feed.post(self._simulator, payments=plan.history_payments, batch=plan.history_batch, advanced=advanced)
            while not (
                ledger.decided_total == ledger.made_total
                and self._archived(FEATURES) >= ledger.made_total
                and self._archived(LABELS) >= feed.labels_total
                and self._archived(INTERACTIONS) >= interactions
            ):
                self._wait(watch)
                show()
            show()
            bars.update(decided, note=f"{ledger.made_total / deadline.elapsed_seconds:,.0f} payments/s end to end")

    def _feed_shop(self, client: httpx.Client, shoppers: Shoppers, bars: Progress) -> int:
        """Post the shop and what its shoppers did up to now; return how many interactions that was."""
        batch = self._plan.shop_batch
        deadline = Deadline(self._clock, self._plan.history_seconds_max, "the shop's history was not taken in")
        task = bars.add_task("shop's interactions", total=None, note="")
        post_shop(client, shoppers, batch=batch)

        def advanced(interactions: int) -> None:
            bars.advance(task, interactions)
            self._check_healthy()
            deadline.check()

        count = post_interactions(client, shoppers, self._clock.now(), batch=batch, advanced=advanced)
        note = f"with {len(shoppers.world.user_ids):,} shoppers and {len(shoppers.items())} items"
        bars.update(task, total=count, note=note)
        return count

    def _train(self, watch: Watch) -> None:
        names = [MODEL_NAME] if self._shoppers is None else [MODEL_NAME, RECOMMENDATION]
        for name in names:
            reason = "the first model, from simulated history"
            request_training(
                self._platform.bus(), self._clock, requested_by=_REQUESTED_BY, reason=reason, model_name=name
            )
        for name in names:
            promoted = self._await_first(watch, name)
            for metric, value in sorted(promoted.metrics.items()):
                self._display.say(f"[dim]{metric:<28}{value:.4g}[/]")

    def _await_first(self, watch: Watch, model_name: str) -> ModelEvent:
        """Wait until the first model of that name is in service."""
        deadline = Deadline(self._clock, self._plan.training_seconds_max, f"no {model_name} model came into service")
        with self._display.bars() as bars:
            task = bars.add_task(f"{model_name}: training, ONNX export, gates", total=None, note="")
            while (promotion := watch.news.promoted(model_name, above=0)) is None:
                self._wait(watch)
                deadline.check(lambda: "; ".join(seen.event.reason for seen in watch.news.refused(model_name)))
            version = promotion.event.model_version
            bars.update(task, total=1, completed=1, note=f"model {version}: {escape(promotion.event.reason)}")
            task = bars.add_task("scoring picks it up, no restart", total=None, note="")
            while self._metric("scoring", "headrace_model_version", model=model_name) < version:
                self._wait(watch)
                deadline.check(lambda: f"model {version} was promoted, and scoring has not loaded it")
            bars.update(task, total=1, completed=1, note=f"after {deadline.elapsed_seconds:.1f} s in all")
        return promotion.event

    def _live(self, watch: Watch) -> Story:
        plan, clock, ledger = self._plan, self._clock, self._ledger
        with ExitStack() as live:
            shop = None
            if self._shoppers is not None:
                shop_traffic = ShopTraffic(
                    self._client, self._shoppers, self._shop_ledger, clock, visits_per_second=plan.visits_per_second
                )
                live.enter_context(closing(shop_traffic))
                shop = ShopShow(plan, self._shop_ledger, watch.news, shop_traffic, clock)
            traffic = LiveTraffic(
                self._platform.bus(),
                self._simulator,
                ledger,
                clock,
                payments_per_second=plan.live_payments_per_second,
            )
            live.enter_context(closing(traffic))
            return LiveShow(
                plan=plan,
                display=self._display,
                ledger=ledger,
                watch=watch,
                traffic=traffic,
                shop=shop,
                clock=clock,
                healthy=self._check_healthy,
            ).run()

    def _settle(self, watch: Watch) -> None:
        ledger = self._ledger
        deadline = Deadline(self._clock, self._plan.settling_seconds_max, "not every payment was decided")
        while ledger.decided_total < ledger.made_total:
            self._wait(watch)
            deadline.check(lambda: f"{ledger.decided_total} of {ledger.made_total}")
        # A payment decided twice would show within a moment: by now nothing waits to be decided.
        quiet = Deadline(self._clock, float("inf"), "")
        while quiet.elapsed_seconds < self._plan.quiet_seconds:
            self._wait(watch)

    def _wait(self, watch: Watch) -> None:
        time.sleep(_POLL_SECONDS)
        self._check_healthy()
        if watch.failure is not None:
            raise DemoError(watch.failure)

    def _check_healthy(self) -> None:
        failures = self._platform.failures()
        if failures:
            raise DemoError("; ".join(failures))

    def _client(self, service: str) -> httpx.Client:
        return httpx.Client(base_url=self._platform.addresses.services[service], timeout=_HTTP_SECONDS_MAX)

    def _archived(self, topic: Topic) -> int:
        return int(self._metric("training", "headrace_archived_rows_total", topic=topic.name))

    def _metric(self, service: str, name: str, **labels: str) -> float:
        """Return a metric's value from the service itself; 0 while it has none."""
        try:
            with self._client(service) as client:
                exposition = client.get("/metrics").raise_for_status().text
        except httpx.HTTPError as error:
            raise DemoError(f"{service} does not show its metrics: {error}") from error
        described = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        sample = f"{name}{{{described}}} "
        return next((float(line[len(sample) :]) for line in exposition.splitlines() if line.startswith(sample)), 0.0)
