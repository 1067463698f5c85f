"""`headrace simulate`: traffic that never happened, against the platform that runs."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.live import Live
from rich.markup import escape

from services.cli.event_files import duration
from services.cli.terminal import HOME, Home, console, errors
from services.ingest.replay import ReplayError
from services.ingest.replay.courier import Courier
from services.local.discovery import discover, url_variable
from services.local.errors import PlatformError
from services.local.simulation.sending import Progress, Simulation, SimulationPlan
from services.local.simulation.sent_payments import LivePayments
from services.local.simulation.sent_visits import LiveVisits
from services.local.simulation.shop_world import ShopConfig
from services.local.simulation.shoppers import Shoppers
from services.local.simulation.simulator import SimulatorConfig
from services.local.supervisor import stop_signals_raise
from shared.runtime.clock import SystemClock

CARDS = 20_000
_LINE_EVERY_SECONDS = 10.0
_PATIENCE_SECONDS = 600.0
_SCORING_SECONDS_MAX = 5.0
_SHOP_OPEN_FOR = timedelta(days=28)

_Rate = Annotated[float, typer.Option(min=0, max=10_000, help="Payments a second.")]
_For = Annotated[
    str | None, typer.Option("--for", metavar="DURATION", help="How long: 90s, 30m, 2h; until Ctrl-C otherwise.")
]
_DriftAfter = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="After this, fraudsters begin to test cards, and shoppers' tastes change."),
]
_LabelDelay = Annotated[
    str, typer.Option(metavar="DURATION", help="How long after a payment its chargeback or review is known.")
]
_Shop = Annotated[bool, typer.Option("--shop", help="Shoppers too, who ask for recommendations and click.")]
_Visits = Annotated[float, typer.Option(min=0, max=100, help="Visits to the shop a second.")]
_Seed = Annotated[int, typer.Option(min=0, help="Which cards, merchants, items and shoppers there are.")]
_Url = Annotated[str | None, typer.Option("--url", help="Address of ingest; by default that of the running platform.")]
_ScoringUrl = Annotated[str | None, typer.Option(help="Likewise of scoring, which --shop asks.")]
_ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_API_KEY",
        show_envvar=True,
        help="Where they ask for one, with the roles score and label, for --shop also recommend and catalogue.",
    ),
]


def simulate(  # noqa: PLR0913 - a command's parameters are its options
    *,
    payments_per_second: _Rate = 20.0,
    for_: _For = None,
    drift_after: _DriftAfter = None,
    label_delay: _LabelDelay = "1m",
    shop: _Shop = False,
    visits_per_second: _Visits = 2.0,
    seed: _Seed = 1,
    url: _Url = None,
    scoring_url: _ScoringUrl = None,
    api_key: _ApiKey = None,
    home: Home = HOME,
) -> None:
    """Send simulated card payments, and the labels that follow them, to the running platform, as if they happened now.

    Models learn from payments that are old enough to be labelled: by default a week (HEADRACE_TRAINING_LABEL_DELAY_DAYS
    and HEADRACE_DRIFT_LABEL_DELAY_DAYS), whatever --label-delay is.

    Example: headrace simulate --payments-per-second 50 --shop --drift-after 10m
    """
    plan = SimulationPlan(seconds=_seconds(for_), drift_after_seconds=_seconds(drift_after))
    clock = SystemClock()
    with contextlib.ExitStack() as stack, _problems_told(), stop_signals_raise():
        ingest = stack.enter_context(contextlib.closing(_courier(url or _running(home, "ingest"), api_key)))
        payments = LivePayments(
            SimulatorConfig(seed=seed, cards=CARDS),
            clock,
            payments_per_second=payments_per_second,
            label_delay=duration(label_delay),
        )
        opened = None
        if shop:
            shoppers = Shoppers(ShopConfig(seed=seed, start=_midnight(clock.now() - _SHOP_OPEN_FOR)))
            scoring = stack.enter_context(_scoring(scoring_url or _running(home, "scoring"), api_key))
            opened = shoppers, LiveVisits(shoppers, scoring, clock, visits_per_second=visits_per_second)
        simulation = Simulation(ingest, payments, clock, shop=opened)
        try:
            with _teller() as tell, contextlib.suppress(KeyboardInterrupt):
                simulation.run(plan, tell=tell, wait=time.sleep)
        finally:
            console.print(f"Sent {_line(simulation.progress)}", markup=False, soft_wrap=True)


def _seconds(text: str | None) -> float | None:
    return None if text is None else duration(text).total_seconds()


def _running(home: Path, service: str) -> str:
    address = discover(home).services.get(service)
    if address is None:
        raise PlatformError(f"the address of {service} is not known: set {url_variable(service)}")
    return address


def _courier(url: str, api_key: str | None) -> Courier:
    def say(reason: str) -> None:
        errors.print(f"waiting for ingest: {reason}", markup=False, soft_wrap=True)

    return Courier(url, api_key=api_key, patience_seconds=_PATIENCE_SECONDS, waiting=say)


def _scoring(url: str, api_key: str | None) -> httpx.Client:
    headers = {"X-API-Key": api_key} if api_key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=_SCORING_SECONDS_MAX)


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


@contextlib.contextmanager
def _problems_told() -> Iterator[None]:
    try:
        yield
    except ReplayError as error:
        errors.print(f"headrace simulate: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


@contextlib.contextmanager
def _teller() -> Iterator[Callable[[Progress], None]]:
    """Yield what shows the progress: a line that changes in a terminal, else a line every ten seconds."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            yield lambda progress: live.update(escape(_line(progress)))
        return
    told = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told
        if progress.seconds - told >= _LINE_EVERY_SECONDS:
            told = progress.seconds
            console.print(_line(progress), markup=False, soft_wrap=True)

    yield tell


def _line(progress: Progress) -> str:
    rate = progress.payments / max(progress.seconds, 1e-9)
    parts = [f"{progress.payments:,} payments in {progress.seconds:,.0f} s ({rate:,.1f} a second)"]
    parts.append(f"{progress.frauds:,} of them frauds, {progress.labels:,} labels")
    if progress.visits:
        parts.append(f"{progress.visits:,} visits, {progress.clicked:,} with a click on what was recommended")
    if progress.has_drifted:
        parts.append("the world has changed")
    if progress.refused:
        parts.append(f"{progress.refused:,} refused, the latest of {progress.refusal}")
    if progress.unanswered:
        parts.append(f"{progress.unanswered:,} visits not answered by scoring, the latest: {progress.problem}")
    return ", ".join(parts)
