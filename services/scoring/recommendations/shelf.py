"""Which items of a model may be shown now: the catalogue, laid out in the model's own order."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np

from services.scoring.recommendations.asked import Condition
from services.scoring.recommendations.catalogue import ITEMS_AT_ONCE, Catalogue
from services.scoring.recommendations.columns import Columns, Flags
from services.scoring.recommendations.conditions import CATEGORY, Check, checker
from shared.contracts.shopping import Item
from shared.features.state import microseconds

CONDITIONS_MAX = 128
"""Conditions whose answers are kept, the last asked; one takes a byte an item."""

_EVER_US, _NEVER_US = np.iinfo(np.int64).min, np.iinfo(np.int64).max


class Shelf:
    """What may be shown of a model's items, kept as the catalogue changes; asked on one thread, told on another."""

    def __init__(
        self, item_ids: Sequence[str], catalogue: Catalogue, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Look up every item: 100,000 take one or two seconds, so not on the event loop.

        item_ids: in the model's order. sleep: takes seconds; called with 0 to let other threads run.
        """
        self._positions = {item_id: at for at, item_id in enumerate(item_ids)}
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._columns = Columns(self._positions)
        self._times = _Times(len(item_ids))
        self._met: dict[bytes, _Met] = {}
        # First, so that whatever changes meanwhile is looked up again.
        catalogue.tell(self)
        for at, item_id in enumerate(item_ids, start=1):
            self.changed(item_id)
            if at % ITEMS_AT_ONCE == 0:
                sleep(0)

    def mask(self, now: datetime, category: str | None, conditions: Sequence[Condition]) -> Flags:
        """Return which items may be shown and are what is asked for, in an array of the caller's own."""
        with self._lock:
            shown = self._times.shown(microseconds(now)).copy()
            if category is not None:
                shown &= self._meeting(Condition(attribute=CATEGORY, any_of=[category]))
            for condition in conditions:
                shown &= self._meeting(condition)
            return shown

    def changed(self, item_id: str) -> None:
        """Look an item up again."""
        at = self._positions.get(item_id)
        if at is None:
            return
        with self._lock:
            item = self._catalogue.item(item_id)
            self._times.put(at, item, is_deleted=self._catalogue.is_deleted(item_id))
            self._columns.put(at, item)
            for check, flags in self._met.values():
                flags[at] = check(item, item_id)

    def _meeting(self, condition: Condition) -> Flags:
        key = msgspec.msgpack.encode(condition)
        met = self._met.pop(key, None) or _Met(checker(condition), self._columns.meeting(condition))
        # Put back as the newest, so that the first is always the one that was asked for longest ago.
        self._met[key] = met
        if len(self._met) > CONDITIONS_MAX:
            del self._met[next(iter(self._met))]
        return met.flags


class _Met(NamedTuple):
    """A condition, and which items meet it."""

    check: Check
    flags: Flags


class _Times:
    """From when until when each item is shown, and which are as of one moment."""

    def __init__(self, count: int) -> None:
        self._from_us = np.full(count, _EVER_US, dtype=np.int64)
        self._until_us = np.full(count, _NEVER_US, dtype=np.int64)
        self._shown = np.ones(count, dtype=np.bool_)
        self._as_of_us = 0
        # From this moment on, and until before that one, nothing changes by time alone.
        self._since_us, self._before_us = _EVER_US, _NEVER_US

    def put(self, at: int, item: Item | None, *, is_deleted: bool) -> None:
        """Take over what the catalogue says of the item at a position."""
        first_us, end_us = _EVER_US, _NEVER_US
        if is_deleted or (item is not None and not item.is_available):
            end_us = _EVER_US
        elif item is not None:
            first_us = _EVER_US if item.available_from is None else microseconds(item.available_from)
            end_us = _NEVER_US if item.expires_at is None else microseconds(item.expires_at)
        self._from_us[at], self._until_us[at] = first_us, end_us
        self._shown[at] = first_us <= self._as_of_us < end_us
        for time_us in (first_us, end_us):
            if time_us <= self._as_of_us:
                self._since_us = max(self._since_us, time_us)
            else:
                self._before_us = min(self._before_us, time_us)

    def shown(self, now_us: int) -> Flags:
        """Return which items are shown at a moment, microseconds since 1970; not to be written to."""
        if not self._since_us <= now_us < self._before_us:
            self._look(now_us)
        return self._shown

    def _look(self, now_us: int) -> None:
        self._shown = (self._from_us <= now_us) & (now_us < self._until_us)
        self._as_of_us = now_us
        times_us = np.concatenate([self._from_us, self._until_us])
        self._since_us = int(times_us.max(where=times_us <= now_us, initial=_EVER_US))
        self._before_us = int(times_us.min(where=times_us > now_us, initial=_NEVER_US))
