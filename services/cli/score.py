"""`headrace score FILE --out FILE`: decide a file of payments as the platform would."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from services.cli.event_files import (
    AmountUnit,
    Columns,
    Constants,
    Delay,
    File,
    FraudColumn,
    Since,
    Sort,
    Unit,
    Until,
    duration,
    pairs,
)
from services.cli.terminal import HOME, Home, console, errors, open_bus, progress_bar
from services.features.archived import Archived
from services.features.handlers import arrived
from services.local.errors import PlatformError
from services.scoring.jobs.file_scoring import FileScoring, HistoryUntil, Progress, decider
from services.scoring.jobs.listing import entries_on
from services.scoring.jobs.results import format_of
from services.scoring.model import ScoringModel
from services.scoring.policy.document import PolicyError
from services.scoring.policy.kinds import PAYMENTS
from services.scoring.policy.policy import BEFORE_THE_FIRST, Policy
from services.scoring.policy.publishing import announced, policy_in
from services.scoring.settings import ScoringSettings
from services.training.archive import Archive
from services.training.model_log import ModelLog
from services.training.refusal import RefusedError
from services.training.releases import registration
from shared.bus.base import Bus
from shared.bus.chained_log import ChainedLog
from shared.contracts.events import Label, ListEvent, PolicyEvent
from shared.contracts.topics import POLICIES
from shared.features.applying import Arrived
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.features.tiles import LATENESS
from shared.files.event_file import EventFile, FileError
from shared.models.manifest import MODEL_NAME
from shared.models.registry import Registry
from shared.runtime.clock import SystemClock

_Out = Annotated[Path, typer.Option(help="Where the decisions go: CSV, JSON Lines or Parquet, by the name's end.")]
_Model = Annotated[
    int | None, typer.Option(min=1, metavar="VERSION", help="A registered version; by default the one in force.")
]
_Archive = Annotated[
    bool, typer.Option("--archive", help="Know the past from what training has archived, not from FILE alone.")
]


class _InForce(NamedTuple):
    """What decides."""

    model: ScoringModel
    policy: Policy
    entries: Sequence[ListEvent]


def score(  # noqa: PLR0913 - a command's parameters are its options
    file: File,
    *,
    out: _Out,
    columns: Columns = None,
    constants: Constants = None,
    amount_unit: Unit = AmountUnit.MINOR,
    since: Since = None,
    until: Until = None,
    fraud_column: FraudColumn = None,
    label_delay: Delay = "7d",
    sort: Sort = False,
    model: _Model = None,
    archive: _Archive = False,
    home: Home = HOME,
) -> None:
    """Decide the payments in FILE, in order of time, by the champion, the policy and the lists in force.

    Nothing goes to the platform: its state and its topics stay as they are.

    Example: headrace score payments.csv --out decisions.csv --map card_id=CUSTOMER --set currency=EUR
    """
    with _problems_told():
        payments = EventFile(
            file=file,
            columns=pairs("--map", columns or []),
            constants=pairs("--set", constants or []),
            amount_unit=amount_unit.value,
            since=since,
            until=until,
            fraud_column=fraud_column,
            label_delay=duration(label_delay),
            sort=sort,
        )
        format_of(out)
        if out.resolve() == file.resolve():
            raise FileError(f"{out.name}: the decisions need another file than the payments")
        with contextlib.closing(open_bus(home)) as bus:
            in_force = _in_force(bus, home, model)
        history = _archived(home) if archive else _no_history
        rejected = file.with_name(f"{file.name}.rejected.jsonl")
        started = time.monotonic()
        done = _scored(payments, in_force, history, out=out, rejected=rejected)
        _print_summary(done, in_force, time.monotonic() - started, "the archive" if archive else f"{file.name} alone")
        if done.refused:
            console.print(f"Refused {done.refused:,}; each stands with its reason in {rejected}", soft_wrap=True)
        if not done.decided:
            raise FileError(f"no payment of {file.name} was decided")


@contextlib.contextmanager
def _problems_told() -> Iterator[None]:
    try:
        yield
    except (FileError, OSError) as error:
        errors.print(f"headrace score: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _in_force(bus: Bus, home: Path, version: int | None) -> _InForce:
    history = ModelLog(bus).history()
    event = history.champion(MODEL_NAME) if version is None else registration(history, version)
    if event is None:
        raise RefusedError("no_model", "no model is in force; train and promote one, or name one with --model VERSION")
    registry = Registry(home, tracking_uri=ScoringSettings().mlflow_tracking_uri)
    files = registry.load(
        MODEL_NAME, event.model_version, digest=event.model_digest, manifest_digest=event.manifest_digest
    )
    try:
        model = ScoringModel(*files)
    except ValueError as error:
        raise RefusedError("unusable", f"version {event.model_version} cannot be used: {error}") from error
    return _InForce(model, _policy(bus), entries_on(bus, SystemClock().now()))


def _policy(bus: Bus) -> Policy:
    """Return the newest policy that can be used, as the scoring service does."""
    for event in reversed(announced(ChainedLog(bus, POLICIES, PolicyEvent).chain(), PAYMENTS)):
        try:
            return policy_in(event, PAYMENTS)
        except PolicyError as error:
            told = f"policy version {event.policy_version} cannot be used, the one before decides: {error}"
            errors.print(told, style="yellow", markup=False, soft_wrap=True)
    return BEFORE_THE_FIRST


def _no_history(_: datetime) -> Iterator[Sequence[Arrived]]:
    return iter(())


def _archived(home: Path) -> HistoryUntil:
    archive = Archive(home / "archive", [FRAUD])
    if not archive.payment_dates():
        raise PlatformError(f"no payment is archived in {home / 'archive'}; leave --archive out")

    def before(first: datetime) -> Iterator[Sequence[Arrived]]:
        since = (first - FRAUD.longest_horizon - LATENESS - timedelta(days=1)).date()
        past = Archived(archive.payments(since=since, until=first.date()), archive.labels(since=since))
        for batch in past.batches(iter(())):
            # A label counts from when it became known, however early it is told.
            events = (arrived(delivery) for delivery in batch)
            yield [each for each in events if isinstance(each.event, Label) or each.event.occurred_at < first]

    return before


def _scored(payments: EventFile, in_force: _InForce, history: HistoryUntil, *, out: Path, rejected: Path) -> Progress:
    decide = decider(*in_force, fallback=ScoringSettings().headrace_scoring_fallback)
    with progress_bar() as bar:
        task = bar.add_task(payments.file.name, total=1.0, told="")

        def show(progress: Progress) -> None:
            told = f"{progress.decided:,} decided, {progress.refused:,} refused"
            if progress.occurred_at is not None:
                told += f", at {progress.occurred_at:%Y-%m-%d %H:%M}"
            bar.update(task, completed=progress.fraction, told=told)

        scoring = FileScoring(FeatureEngine(FRAUD), decide)
        return scoring.run(payments, out=out, rejected=rejected, tell=show, history=history)


def _print_summary(done: Progress, in_force: _InForce, seconds: float, past: str) -> None:
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(done.verdicts.items())) or "none"
    rate = done.decided / max(seconds, 1e-9)
    console.print(f"Decided {done.decided:,} payments in {seconds:.1f} s ({rate:,.0f} a second): {verdicts}.")
    console.print(
        f"By model version {in_force.model.manifest.model_version} and policy version {in_force.policy.version}; "
        f"the past is known from {past}.",
        soft_wrap=True,
    )
