"""`headrace rebuild`: refill the online state from the log or the archive."""

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from services.cli.terminal import HOME, Home, console, errors, open_bus, progress_bar
from services.features.archived import Archived
from services.features.handlers import FeaturesHandler
from services.features.interactions import InteractionsHandler
from services.features.rebuild import REBUILT, StateEmptiedError, history_batches, log_batches
from services.features.rebuild import rebuild as refill
from services.features.settings import FeaturesSettings
from services.local.discovery import discover
from services.local.errors import PlatformError
from services.local.inspection import topic_sizes
from services.training.archive import Archive
from shared.bus.base import Bus
from shared.contracts.topics import Topic
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.features.tiles import LATENESS
from shared.runtime.clock import SystemClock
from shared.runtime.clock_skew import FutureBound
from shared.runtime.loop import Delivery
from shared.runtime.settings import ServiceSettings
from shared.store.base import Store
from shared.store.redis import open_store

_TIMEOUT_SECONDS_MIN = 30.0


class Origin(StrEnum):
    """Where a rebuild reads from."""

    KAFKA = "kafka"
    ARCHIVE = "archive"


class _Source(NamedTuple):
    """What to apply, and about how many records it is."""

    batches: Iterator[list[Delivery]]
    records: int


_From = Annotated[
    Origin,
    typer.Option(
        "--from",
        help="kafka: all that the log holds. archive: what training has archived, for longer than the log keeps it, "
        "and from the log what is not archived yet.",
    ),
]


def rebuild(home: Home = HOME, *, origin: _From = Origin.KAFKA) -> None:
    """Refill the state in Redis, when it was lost or when features look further back than before.

    Shoppers' histories and profiles come from the log in any case.

    Services may run meanwhile: nothing is answered twice, and nothing counts twice.
    """
    with contextlib.closing(open_bus(home)) as bus, contextlib.closing(_open_state(home)) as store:
        started = time.monotonic()
        try:
            counts = _refilled(store, _source(bus, home, origin))
        except StateEmptiedError as error:
            errors.print(f"headrace rebuild: {error}", style="red", markup=False, soft_wrap=True)
            raise typer.Exit(1) from error
        seconds = time.monotonic() - started
    told = ", ".join(f"{count:,} {topic}" for topic, count in counts.items())
    rate = sum(counts.values()) / max(seconds, 1e-9)
    console.print(f"Applied {told} in {seconds:.1f} s ({rate:,.0f} a second). The state is whole.")


def _open_state(home: Path) -> Store:
    redis = discover(home).redis
    if redis is None:
        raise PlatformError(
            "this platform's state lives in the memory of `headrace up`, as its log does; there is nothing to rebuild"
        )
    # A batch here is larger than a service's.
    seconds = max(_TIMEOUT_SECONDS_MIN, ServiceSettings().headrace_store_timeout_seconds)
    return open_store(redis, timeout_seconds=seconds)


def _source(bus: Bus, home: Path, origin: Origin) -> _Source:
    future = FutureBound(SystemClock(), ServiceSettings().future_max)
    histories, windows = history_batches(bus, future), log_batches(bus, future)
    if origin is Origin.KAFKA:
        return _Source(itertools.chain(histories, windows), _records(bus, REBUILT))
    archived = _archived(home)
    records = len(archived) + _records(bus, REBUILT)
    return _Source(itertools.chain(histories, archived.batches(windows)), records)


def _records(bus: Bus, topics: Sequence[Topic]) -> int:
    return sum(size.records or 0 for size in topic_sizes(bus) if size.topic in topics)


def _archived(home: Path) -> Archived:
    archive = Archive(home / "archive", [FRAUD])
    dates = archive.payment_dates()
    if not dates:
        raise PlatformError(f"no payment is archived in {home / 'archive'}; use `headrace rebuild --from kafka`")
    since = dates[-1] - FRAUD.longest_horizon - LATENESS - timedelta(days=1)
    return Archived(archive.payments(since=since), archive.labels(since=since))


def _refilled(store: Store, source: _Source) -> Mapping[str, int]:
    settings, engine = FeaturesSettings(), FeatureEngine(FRAUD)
    windows = FeaturesHandler(engine, store, SystemClock(), age_max=settings.state_age_max, lag_records=lambda: None)
    histories = InteractionsHandler(store, kept_for=timedelta(days=settings.headrace_features_history_days))
    with progress_bar() as bar:
        task = bar.add_task("rebuild", total=max(1, source.records), told="")

        def show(counts: Mapping[str, int]) -> None:
            told = ", ".join(f"{count:,} {topic}" for topic, count in counts.items())
            bar.update(task, completed=sum(counts.values()), told=told)

        counts = refill(windows, histories, store, FRAUD, source.batches, show=show)
        bar.update(task, completed=max(1, source.records))
    return counts
