"""Tells every reader of the state how far it is, and whether it is whole."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from shared.bus.base import BusUnavailableError, Standing, TopicPartition
from shared.features.definitions import FeatureSet
from shared.features.progress import (
    PROGRESS_KEY,
    Applied,
    Patch,
    Progress,
    applied,
    milliseconds,
    needed_hours,
    whole,
)
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.store.base import Store, StoreUnavailableError

log = logging.getLogger(__name__)

STATE_LOST = "the state was lost, or features look further back than it was kept: run `headrace rebuild`"

_UNKNOWN = Applied(0, 0)
_SERVICE = "features"


class StateProgress:
    """Writes down how far this process's partitions are applied; used by one loop."""

    def __init__(
        self, store: Store, clock: Clock, feature_set: FeatureSet, *, has_read_before: Callable[[], bool]
    ) -> None:
        """Wire it.

        has_read_before: whether the group has ever committed; while it has not, an empty state lacks nothing.
        """
        self._store = store
        self._clock = clock
        self._needed_hours = needed_hours(feature_set)
        self._has_read_before = has_read_before
        self._is_open = False
        self._is_complete: bool | None = None
        self._lag_records: int | None = None

    def not_open(self) -> str | None:
        """Before anything is read: declare the state whole where nothing was ever read; tell what keeps from asking."""
        if self._is_open:
            return None
        try:
            progress = self._read()
            # What is kept from now on is what the features need now, also where that was more.
            if progress.is_complete(self._needed_hours) or not self._has_read_before():
                self._store.patch(PROGRESS_KEY, patches=[whole(self._needed_hours)])
                progress = self._read()
        except (StoreUnavailableError, BusUnavailableError) as error:
            return str(error)
        self._note(progress)
        self._is_open = True
        return None

    def report(self, standing: Mapping[TopicPartition, Standing], as_of: datetime) -> None:
        """Write down how far each partition is applied (see OnProgress); raises StoreUnavailableError."""
        progress = self._read()
        self._note(progress)
        self._lag_records = sum(partition.waiting_records for partition in standing.values())
        as_of_ms = milliseconds(as_of)
        patches = [_patch(place, partition, progress, as_of_ms) for place, partition in standing.items()]
        if patches:
            self._store.patch(PROGRESS_KEY, patches=patches)

    def lag_records(self) -> int | None:
        """Return how many records waited in this process's partitions when last told; None before."""
        return self._lag_records

    def problem(self) -> str | None:
        """Tell whether the state must be rebuilt; None also while that is not known."""
        return STATE_LOST if self._is_complete is False else None

    def _read(self) -> Progress:
        (value,) = self._store.append_and_read([], [PROGRESS_KEY], expire_after=timedelta())
        return Progress.decode(value)

    def _note(self, progress: Progress) -> None:
        was_complete, self._is_complete = self._is_complete, progress.is_complete(self._needed_hours)
        if self._is_complete is not was_complete and not (was_complete is None and self._is_complete):
            log.log(logging.INFO if self._is_complete else logging.WARNING, _told(self._is_complete))
        metrics.STATE_COMPLETE.labels(_SERVICE).set(self._is_complete)
        age = progress.age_seconds(self._clock.now())
        if age is not None:
            metrics.STATE_AGE_SECONDS.labels(_SERVICE).set(age)


def _told(is_complete: bool) -> str:
    return "the state is whole again" if is_complete else STATE_LOST


def _patch(place: TopicPartition, standing: Standing, progress: Progress, as_of_ms: int) -> Patch:
    """Return what to write of one partition: the time never goes back, whoever told it before."""
    through_ms = standing.newest_ms if standing.waiting_records else as_of_ms
    told_ms = progress.partitions.get(place, _UNKNOWN).through_ms
    # A producer's clock may be ahead, and would make the state look new for as long.
    through_ms = None if through_ms is None else max(told_ms, min(through_ms, as_of_ms))
    return applied(place.topic, place.partition, through_ms=through_ms, waiting_records=standing.waiting_records)
