"""The demo: the whole life of a model on one machine, from history to the recovery from a new kind of fraud.

Everything it shows is read from the topics and the services' metrics; nothing is staged but the payments.
"""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape

from services.local.demo_display import DemoDisplay
from services.local.demo_history import HistoryFeed
from services.local.demo_ledger import Ledger
from services.local.demo_live import LiveShow
from services.local.demo_plan import DEMO_PLAN, Deadline, DemoError, DemoPlan
from services.local.demo_summary import check, summarise
from services.local.demo_traffic import LiveTraffic
from services.local.demo_watch import Watch
from services.local.errors import PlatformError
from services.local.model_request import request_training
from services.local.opening import open_platform
from services.local.platform import LocalPlatform
from services.local.simulator import Simulator
from shared.bus.base import BusUnavailableError
from shared.models.manifest import MODEL_NAME
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
        with _fresh(folder), open_platform(folder, plan.settings, say=display.done) as platform:
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

    def run(self) -> None:
        """Run every phase; raises DemoError at the first thing that does not happen."""
        display, clock = self._display, self._clock
        self._platform.start(display.done)
        bus = self._platform.bus()
        with closing(Watch(bus, self._ledger, clock)) as watch:
            display.phase("2/6 History: simulated payments and late labels, through ingest")
            self._feed_history(watch)
            display.phase("3/6 Training: the first model")
            self._train(watch)
            display.phase("4/6 Live: a new fraud pattern, drift, a new model, recovery")
            with closing(
                LiveTraffic(
                    bus, self._simulator, self._ledger, clock, payments_per_second=self._plan.live_payments_per_second
                )
            ) as traffic:
                story = LiveShow(
                    plan=self._plan,
                    display=display,
                    ledger=self._ledger,
                    watch=watch,
                    traffic=traffic,
                    clock=clock,
                    healthy=self._check_healthy,
                ).run()
            display.phase("5/6 Settling: every payment must have been decided, once")
            self._settle(watch)
        display.phase("6/6 Summary")
        summary = summarise(self._ledger, story, seconds_total=clock.monotonic_seconds() - self._started)
        display.summary(summary.rows, summary.facts)
        check(self._ledger, story, self._plan)

    def _feed_history(self, watch: Watch) -> None:
        plan, ledger = self._plan, self._ledger
        deadline = Deadline(self._clock, plan.history_seconds_max, "history was not taken in, decided and archived")
        with (
            httpx.Client(base_url=self._url("ingest"), timeout=_HTTP_SECONDS_MAX) as client,
            self._display.bars() as bars,
        ):
            posted = bars.add_task("posted to ingest", total=plan.history_payments, note="")
            decided = bars.add_task("decided", total=plan.history_payments, note="no model yet: all approved")
            archived = bars.add_task("archived for training", total=plan.history_payments, note="")
            feed = HistoryFeed(client, ledger, self._clock)

            def show() -> None:
                self._check_healthy()
                deadline.check(lambda: f"{ledger.decided_total} of {ledger.made_total} payments decided so far")
                bars.update(decided, completed=ledger.decided_total)
                bars.update(archived, completed=self._archived("features"))

            def advanced(payments: int) -> None:
                bars.advance(posted, payments)
                bars.update(posted, note=f"{ledger.made_total / deadline.elapsed_seconds:,.0f} payments/s")
                show()

            feed.post(self._simulator, payments=plan.history_payments, batch=plan.history_batch, advanced=advanced)
            while not (
                ledger.decided_total == ledger.made_total
                and self._archived("features") >= ledger.made_total
                and self._archived("labels") >= feed.labels_total
            ):
                self._wait(watch)
                show()
            show()
            bars.update(decided, note=f"{ledger.made_total / deadline.elapsed_seconds:,.0f} payments/s end to end")

    def _train(self, watch: Watch) -> None:
        reason = "the first model, from simulated history"
        request_training(self._platform.bus(), self._clock, requested_by=_REQUESTED_BY, reason=reason)
        deadline = Deadline(self._clock, self._plan.training_seconds_max, "no model was trained and put into service")
        with self._display.bars() as bars:
            task = bars.add_task("training, ONNX export, gates", total=None, note="")
            while (promotion := watch.news.promoted(above=0)) is None:
                self._wait(watch)
                deadline.check(lambda: "; ".join(watch.news.refusals()))
            version = promotion.event.model_version
            bars.update(task, total=1, completed=1, note=f"model {version}: {escape(promotion.event.reason)}")
            task = bars.add_task("scoring picks it up, no restart", total=None, note="")
            while self._metric("scoring", "headrace_model_version", model=MODEL_NAME) < version:
                self._wait(watch)
                deadline.check(lambda: f"model {version} was promoted, and scoring has not loaded it")
            bars.update(task, total=1, completed=1, note=f"after {deadline.elapsed_seconds:.1f} s in all")
        for name, value in sorted(promotion.event.metrics.items()):
            self._display.say(f"[dim]{name:<28}{value:.4g}[/]")

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

    def _url(self, service: str) -> str:
        return self._platform.addresses.services[service]

    def _archived(self, topic: str) -> int:
        return int(self._metric("training", "headrace_archived_rows_total", topic=topic))

    def _metric(self, service: str, name: str, **labels: str) -> float:
        """Return a metric's value from the service itself; 0 while it has none."""
        try:
            exposition = httpx.get(f"{self._url(service)}/metrics", timeout=_HTTP_SECONDS_MAX).raise_for_status().text
        except httpx.HTTPError as error:
            raise DemoError(f"{service} does not show its metrics: {error}") from error
        described = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        sample = f"{name}{{{described}}} "
        return next((float(line[len(sample) :]) for line in exposition.splitlines() if line.startswith(sample)), 0.0)
