"""How well a model catches fraud, judged by the labels that came in."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.drift.fall import FallTest
from shared.contracts.events import Decision

EXPECTED_RECALL_MIN = 0.01


@dataclass(slots=True)
class Outcome:
    """What was decided about a payment, and whether it turned out to be fraud."""

    version: int
    flagged: bool
    at: datetime
    fraud: bool = False


class Outcomes:
    """The newest decisions by transaction id, waiting for their labels."""

    def __init__(self, remembered_max: int) -> None:
        self._remembered_max = remembered_max
        self._outcomes: dict[str, Outcome] = {}

    def add(self, decision: Decision) -> bool:
        """Remember `decision`; tell whether it is the first about its payment."""
        if decision.transaction_id in self._outcomes:
            return False
        self._outcomes[decision.transaction_id] = Outcome(
            decision.model_version, decision.decision != "approve", decision.occurred_at
        )
        if len(self._outcomes) > self._remembered_max:
            del self._outcomes[next(iter(self._outcomes))]
        return True

    def find(self, transaction_id: str) -> Outcome | None:
        """Return what is known of a payment; None when its decision was never seen, or forgotten."""
        return self._outcomes.get(transaction_id)


class RecallMonitor:
    """Notices when a model catches clearly less fraud than it did on held-out payments.

    A trial of its FallTest is a labelled fraud, and the fall that is looked for is to a half; frauds are missed
    independently of each other as far as they are on different cards. Simulated with a threshold of ln(2,000): a false
    alarm every 20,000 labels or more; a fall from 0.7 to 0.35 noticed after 31 labels at the median, 56 at the 90th
    percentile.
    """

    def __init__(self, held_out_recall: float, *, slack: float, false_alarm_labels: int, window: int) -> None:
        """Start without evidence.

        slack: share of the held-out recall, itself an estimate, that may be missing before it counts as a fall.
        false_alarm_labels: least mean number of labelled frauds to a false alarm.
        window: newest labels that `recall` is computed over.
        """
        expected = max(held_out_recall * (1 - slack), EXPECTED_RECALL_MIN)
        self.test = FallTest(expected, fall=0.5, false_alarm_trials=false_alarm_labels)
        self._recent: deque[bool] = deque(maxlen=window)

    @property
    def recall(self) -> float:
        """Share of the newest labelled frauds that were caught; there must be one."""
        return sum(self._recent) / len(self._recent)

    def observe(self, *, hit: bool) -> None:
        """Take in a labelled fraud: `hit` if its payment was reviewed or declined."""
        self._recent.append(hit)
        self.test.observe(success=hit)


class PrecisionMonitor:
    """Share of fraud among flagged payments whose label delay has passed."""

    def __init__(self, *, label_delay: timedelta, window: int, waiting_max: int) -> None:
        self._label_delay = label_delay
        self._waiting: deque[Outcome] = deque(maxlen=waiting_max)
        self._matured: deque[bool] = deque(maxlen=window)

    def observe(self, outcome: Outcome) -> float | None:
        """Take in a decision; return the precision, or None while nothing has matured.

        `outcome` is kept, and its label read when it has matured.
        """
        if outcome.flagged:
            self._waiting.append(outcome)
        while self._waiting and self._waiting[0].at + self._label_delay <= outcome.at:
            self._matured.append(self._waiting.popleft().fraud)
        return sum(self._matured) / len(self._matured) if self._matured else None
