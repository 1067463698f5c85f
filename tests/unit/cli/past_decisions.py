"""An archive of decided payments with labels, and what a policy would have done with them, computed the slow way."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random

from shared.contracts.events import Decision, FeatureVector, Label, Verdict
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import FEATURES, LABELS, SCORES
from shared.features.catalog.fraud import FRAUD
from tests.events import START, TRACE_ID, label
from tests.unit.training.training_scene import archive, delivered, vector

DAYS, A_DAY, LABEL_DELAY_DAYS = 14, 30, 7
DAY = timedelta(days=1)
COUNT = FRAUD.feature_names.index("card_count_10m")
SEVERITY: list[Verdict] = ["approve", "review", "decline"]
Rule = tuple[str, Callable[[FeatureVector], bool], Verdict]


@dataclass
class Past:
    """Decisions with the vectors they were made on, and the labels that came."""

    decisions: list[tuple[FeatureVector, Decision]]
    labels: list[Label]

    def write(self, home: Path) -> None:
        there = archive(home)
        there.write(delivered(FEATURES, [of for of, _ in self.decisions]))
        decisions = delivered(SCORES, [decision for _, decision in self.decisions])
        there.write(decisions)
        there.write(decisions[: len(decisions) // 2])
        there.write(delivered(LABELS, self.labels))

    @property
    def days(self) -> list[date]:
        """The whole days that are a label delay old when the newest payment or label comes."""
        newest = max(event.occurred_at for event in [*(of for of, _ in self.decisions), *self.labels])
        until = (newest - (LABEL_DELAY_DAYS + 1) * DAY).date()
        first = START.date()
        return [first + at * DAY for at in range((until - first).days + 1)]

    def matured(self) -> list[tuple[FeatureVector, Decision, bool]]:
        """Return the payments of these days, and which are fraud by the latest label."""
        latest = {one.transaction_id: one.label for one in sorted(self.labels, key=lambda one: one.occurred_at)}
        return [
            (of, decision, latest.get(decision.transaction_id) == "fraud")
            for of, decision in self.decisions
            if decision.occurred_at.date() in self.days
        ]


def past(seed: int = 0) -> Past:
    random = Random(seed)
    decisions, labels = [], []
    for number in range(DAYS * A_DAY):
        fraud = random.random() < 0.2
        values = [0.0] * len(FRAUD.features)
        values[COUNT] = float(random.randrange(4, 12) if fraud else random.randrange(8))
        of = vector(
            f"t{number}",
            after=number * DAY / A_DAY,
            values=values,
            amount=random.randrange(100, 50_000),
            card_id=f"card-{number % 7}",
            channel=random.choice(["atm", "ecommerce"]),
        )
        score = None if random.random() < 0.1 else round(min(1.0, random.random() * (1.0 if fraud else 0.6)), 6)
        listed = ["block:card"] if random.random() < 0.05 else ["allow:card"] if random.random() < 0.05 else []
        decisions.append((of, decision(of, score, listed, verdict_of(score, (0.5, 0.9), listed, []))))
        if fraud:
            labels.append(label(of.transaction, known_after=DAY))
        if fraud and number % 10 == 0:
            labels.append(label(of.transaction, "genuine", known_after=2 * DAY))
    return Past(decisions, labels)


def decision(of: FeatureVector, score: float | None, listed: list[str], verdict: Verdict) -> Decision:
    event = of.transaction
    return Decision(
        event_id=derived_event_id(event.occurred_at, SCORES.name, event.event_id),
        occurred_at=event.occurred_at,
        trace_id=TRACE_ID,
        transaction_id=event.transaction_id,
        card_id=event.card_id,
        decision=verdict,
        score=score,
        reasons=[],
        model_name="fraud",
        model_version=1,
        model_digest="1" * 64,
        feature_version=of.feature_version,
        vector_digest="2" * 64,
        policy_digest="3" * 64,
        lists=listed,
    )


def verdict_of(
    score: float | None, thresholds: tuple[float, float], listed: Iterable[str], actions: Iterable[Verdict]
) -> Verdict:
    """Return what a policy says whose fallback is to approve."""
    review, decline = thresholds
    said = {entry.split(":")[0] for entry in listed}
    if "allow" in said or "approve" in actions:
        return "approve"
    if "block" in said:
        return "decline"
    by_score = 0 if score is None or score < review else 1 if score < decline else 2
    return SEVERITY[max([by_score, *(SEVERITY.index(action) for action in actions)])]


def table(
    payments: list[tuple[FeatureVector, Decision, bool]], thresholds: tuple[float, float], rules: list[Rule]
) -> dict[str, tuple[int, int, int, int]]:
    """Return payments, frauds, money of frauds and of genuine payments, by `<verdict>, now`, `..., then` and rule."""
    chosen: dict[str, list[tuple[int, bool]]] = {}
    for of, was, is_fraud in payments:
        hit = [(code, action) for code, is_true, action in rules if is_true(of)]
        now = verdict_of(was.score, thresholds, was.lists, [action for _, action in hit])
        for name in (f"{now}, now", f"{was.decision}, then", *(code for code, _ in hit)):
            chosen.setdefault(name, []).append((of.transaction.amount, is_fraud))
    return {
        name: (
            len(found),
            sum(is_fraud for _, is_fraud in found),
            sum(amount for amount, is_fraud in found if is_fraud),
            sum(amount for amount, is_fraud in found if not is_fraud),
        )
        for name, found in chosen.items()
    }
