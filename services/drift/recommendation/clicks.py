"""Joins what shoppers were shown with what they did about it, in memory that stays bounded.

Both sides carry `recommendation_id`. Either may come first: an impression waits for clicks until its time is over, and
a click waits as long for its impression. Time is the log's, so a backlog that is read late is joined as it would have
been.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contracts.shopping import Impression, Interaction

CLICK_KINDS = frozenset({"view", "cart", "purchase", "like"})
"""Kinds of interaction that are a click, where they name an impression that showed their item."""


@dataclass(slots=True)
class Shown:
    """A list that a shopper was shown; produced_ms: when the log took it in, milliseconds since the epoch."""

    version: int
    at: datetime
    produced_ms: int
    items: frozenset[str]
    is_clicked: bool = False


class Impressions:
    """The lists shown of late, each held until `click_window` after it was shown."""

    def __init__(self, *, click_window: timedelta, remembered_max: int) -> None:
        """Start with none.

        remembered_max: of lists, and of clicks without a list. While so many wait no other is taken in, clicked or not,
            so that the share of clicked ones stays right.
        """
        self._window_ms = click_window // timedelta(milliseconds=1)
        self._remembered_max = remembered_max
        self._shown: dict[str, Shown] = {}
        self._early: dict[tuple[str, str], int] = {}

    def show(self, impression: Impression, produced_ms: int) -> bool:
        """Take in a list; tell whether there was room for it. One that is known changes nothing."""
        if impression.recommendation_id in self._shown:
            return True
        if len(self._shown) >= self._remembered_max:
            return False
        items = frozenset(shown.item_id for shown in impression.items)
        is_clicked = any(self._early.pop((impression.recommendation_id, item), None) is not None for item in items)
        self._shown[impression.recommendation_id] = Shown(
            impression.model_version, impression.occurred_at, produced_ms, items, is_clicked
        )
        return True

    def click(self, interaction: Interaction, produced_ms: int) -> None:
        """Take in an interaction; one that is no click on a list changes nothing."""
        if interaction.recommendation_id is None or interaction.kind not in CLICK_KINDS:
            return
        shown = self._shown.get(interaction.recommendation_id)
        if shown is not None:
            shown.is_clicked |= interaction.item_id in shown.items
        elif len(self._early) < self._remembered_max:
            self._early.setdefault((interaction.recommendation_id, interaction.item_id), produced_ms)

    def over(self, now_ms: int) -> list[Shown]:
        """Take out the lists whose time for clicks is over when the log has been read up to `now_ms`."""
        since_ms = now_ms - self._window_ms
        while self._early and next(iter(self._early.values())) < since_ms:
            del self._early[next(iter(self._early))]
        over = []
        while self._shown and (shown := next(iter(self._shown.values()))).produced_ms < since_ms:
            del self._shown[next(iter(self._shown))]
            over.append(shown)
        return over


class LastShown:
    """The last list each of the shoppers seen of late was shown."""

    def __init__(self, remembered_max: int) -> None:
        self._remembered_max = remembered_max
        self._items: OrderedDict[str, frozenset[str]] = OrderedDict()

    def show(self, impression: Impression) -> None:
        """Take in a list, in the place of the one before."""
        self._items[impression.user_id] = frozenset(shown.item_id for shown in impression.items)
        self._items.move_to_end(impression.user_id)
        if len(self._items) > self._remembered_max:
            self._items.popitem(last=False)

    def has(self, interaction: Interaction) -> bool | None:
        """Tell whether its item was in the shopper's last list; None when there was none."""
        items = self._items.get(interaction.user_id)
        return None if items is None else interaction.item_id in items


class RecentShare:
    """Share of successes among the newest trials."""

    def __init__(self, window: int) -> None:
        """Start without a trial; window: how many are kept."""
        self._recent: deque[bool] = deque(maxlen=window)
        self._successes = 0

    def observe(self, *, success: bool) -> None:
        """Take in a trial."""
        if len(self._recent) == self._recent.maxlen:
            self._successes -= self._recent[0]
        self._recent.append(success)
        self._successes += success

    @property
    def share(self) -> float | None:
        """The share; None before the first trial."""
        return self._successes / len(self._recent) if self._recent else None
