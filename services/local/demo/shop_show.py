"""The shop's part of the live show: tastes change, drift notices, a new recommender comes, shoppers click again."""

from dataclasses import dataclass

from services.local.demo.plan import DemoError, DemoPlan
from services.local.demo.rows import ShopRow, ratio
from services.local.demo.shop_ledger import Answered, ShopLedger, answers_of
from services.local.demo.shop_traffic import ShopTraffic
from services.local.demo.watch import News, Seen
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.models.manifest import RECOMMENDATION
from shared.runtime.clock import Clock


@dataclass(frozen=True)
class ShopStory:
    """What happened after the tastes changed; times are monotonic seconds.

    outcome: the promotion of the recommender that drift asked for, or its refusal.
    """

    begun_at: float
    version_before: int
    request: Seen[RetrainingRequest]
    outcome: Seen[ModelEvent]


class ShopShow:
    """Tells how the shop is doing, and when its story is over."""

    def __init__(self, plan: DemoPlan, ledger: ShopLedger, news: News, traffic: ShopTraffic, clock: Clock) -> None:
        self._plan = plan
        self._ledger = ledger
        self._news = news
        self._traffic = traffic
        self._clock = clock
        self._begun_at = clock.monotonic_seconds()
        self._version_before = 0
        self._shown = 0

    @property
    def failure(self) -> str | None:
        """Why nobody visits the shop any more; None while they do."""
        return self._traffic.failure

    def row(self, second: int) -> ShopRow:
        """Return what happened since the last row."""
        answered = self._ledger.answered()
        fresh = answers_of(answered[self._shown :])
        self._shown = len(answered)
        told_ms = self._ledger.told_ms()
        return ShopRow(
            second=second,
            lists=fresh.lists,
            latency_ms=fresh.latency_ms,
            click_through=answers_of(answered[-self._plan.sliding_window_lists :]).click_through,
            told_ms=None if told_ms is None else told_ms[0],
            bought_shown=answers_of(answered).bought_shown,
            model_version=self._ledger.newest_version,
        )

    def change_taste(self) -> None:
        """Let the tastes change now; raises DemoError."""
        self._version_before = self._ledger.newest_version
        self._begun_at = self._clock.monotonic_seconds()
        self._traffic.change_taste()

    def status(self) -> str | None:
        """Tell what is being waited for; None when the story is over."""
        if self._request() is None:
            return "shoppers click less; waiting for drift to be noticed"
        outcome = self._outcome()
        if outcome is None:
            return "shoppers click less; waiting for a new recommender"
        is_judged = (
            sum(one.model_version > self._version_before for one in self._changed()) >= self._plan.recovered_lists
        )
        return None if outcome.event.action == "refused" or is_judged else "a new recommender; do shoppers click again?"

    def so_far(self) -> str:
        """Tell how often lists are clicked."""
        changed = self._changed()
        old = answers_of([one for one in changed if one.model_version == self._version_before])
        new = answers_of([one for one in changed if one.model_version > self._version_before])
        return (
            f"of {old.lists} lists of the old recommender {ratio(old.click_through)} were clicked since the tastes "
            f"changed, of {new.lists} of a newer one {ratio(new.click_through)}"
        )

    def story(self) -> ShopStory:
        """Return what happened, once `status` has nothing to wait for; raises DemoError."""
        request, outcome = self._request(), self._outcome()
        if request is None or outcome is None:
            raise DemoError(f"the shop's story is not over: {self.so_far()}")
        return ShopStory(self._begun_at, self._version_before, request, outcome)

    def _changed(self) -> list[Answered]:
        return [one for one in self._ledger.answered() if one.changed]

    def _request(self) -> Seen[RetrainingRequest] | None:
        return self._news.first(RetrainingRequest, RECOMMENDATION, since=self._begun_at)

    def _outcome(self) -> Seen[ModelEvent] | None:
        promoted = self._news.promoted(RECOMMENDATION, above=self._version_before)
        refused = self._news.refused(RECOMMENDATION, since=self._begun_at)
        return promoted or next(iter(refused), None)
