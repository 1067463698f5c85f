"""What a policy would have done with payments of the past, whose outcome is known."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.scoring.policy.policy import Policy
from shared.contracts.events import FeatureVector, Verdict
from shared.models.manifest import Thresholds

_RULE = "rule:"


class PastPayment(NamedTuple):
    """A payment as it was decided, and what it turned out to be.

    thresholds: of the model that scored it. listed: the entries of lists that matched then.
    """

    vector: FeatureVector
    score: float | None
    thresholds: Thresholds | None
    listed: Sequence[str]
    decided: Verdict
    is_fraud: bool


class Tally(NamedTuple):
    """Some payments; money in minor units, of whatever currency."""

    payments: int = 0
    frauds: int = 0
    fraud_minor_units: int = 0
    genuine_minor_units: int = 0

    def with_payment(self, amount: int, *, is_fraud: bool) -> "Tally":
        """Return this tally and one payment more."""
        payments, frauds, fraud_minor_units, genuine_minor_units = self
        if is_fraud:
            return Tally(payments + 1, frauds + 1, fraud_minor_units + amount, genuine_minor_units)
        return Tally(payments + 1, frauds, fraud_minor_units, genuine_minor_units + amount)

    @property
    def precision(self) -> float | None:
        """Share of fraud among the payments; None without any."""
        return self.frauds / self.payments if self.payments else None

    def recall(self, of: "Tally") -> float | None:
        """Return the share of the frauds of `of` that are here; None where that has none."""
        return self.frauds / of.frauds if of.frauds else None


class Outcome(NamedTuple):
    """What came out, as tallies: of all payments, by rule that matches, by the policy's verdict and by that of then.

    failures: how often a rule could not be evaluated, by its code.
    """

    every: Tally
    by_rule: Mapping[str, Tally]
    by_verdict: Mapping[Verdict, Tally]
    by_verdict_then: Mapping[Verdict, Tally]
    failures: Mapping[str, int]


class Backtest:
    """Judges payments, some at a time."""

    def __init__(self, policy: Policy, *, fallback: Verdict) -> None:
        """Take a policy; fallback: the verdict where there is no score."""
        self._policy = policy
        self._fallback = fallback
        self._every = Tally()
        self._by_rule = dict.fromkeys((rule.code for rule in policy.document.rules), Tally())
        self._by_verdict: defaultdict[Verdict, Tally] = defaultdict(Tally)
        self._by_verdict_then: defaultdict[Verdict, Tally] = defaultdict(Tally)

    def add(self, payments: Iterable[PastPayment]) -> None:
        """Judge some payments more."""
        for payment in payments:
            amount, is_fraud = payment.vector.transaction.amount, payment.is_fraud
            verdict, reasons = self._policy.judge(
                payment.vector, payment.score, payment.thresholds, payment.listed, fallback=self._fallback
            )
            self._every = self._every.with_payment(amount, is_fraud=is_fraud)
            self._by_verdict[verdict] = self._by_verdict[verdict].with_payment(amount, is_fraud=is_fraud)
            then = payment.decided
            self._by_verdict_then[then] = self._by_verdict_then[then].with_payment(amount, is_fraud=is_fraud)
            for reason in reasons:
                if reason.code.startswith(_RULE):
                    code = reason.code.removeprefix(_RULE)
                    self._by_rule[code] = self._by_rule[code].with_payment(amount, is_fraud=is_fraud)

    def outcome(self) -> Outcome:
        """Return what came out up to now."""
        return Outcome(
            self._every,
            dict(self._by_rule),
            dict(self._by_verdict),
            dict(self._by_verdict_then),
            dict(self._policy.rule_failures),
        )
