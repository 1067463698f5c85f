"""How a challenger does beside what was decided, from the archive, against figures counted one by one."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from sklearn.metrics import average_precision_score, roc_auc_score

from services.training.refusal import RefusedError
from services.training.shadows import VERDICTS, ShadowReport, read_shadow_report
from shared.contracts.events import Label, ShadowScore, Verdict
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import LABELS, SHADOWS
from shared.features.catalog.fraud import FRAUD
from tests.events import START, TRACE_ID, label, payment
from tests.unit.training.training_scene import DAY, archive, delivered, settings

DAYS, A_DAY, LABEL_DELAY_DAYS = 5, 100, 2


def verdict(score: float) -> Verdict:
    return VERDICTS[(score >= 0.5) + (score >= 0.9)]


def shadows(*, challenger: int = 2, noise: float = 0.05, seed: int = 0) -> list[ShadowScore]:
    """Return what a challenger says of payments: the risk itself, where what was decided is another number."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(DAYS * A_DAY):
        at = START + number * DAY / A_DAY
        risk = risk_of(number)
        scores = [float(np.clip(risk + rng.normal(0, deviation), 0, 1)) for deviation in (0.4, noise)]
        made.append(
            ShadowScore(
                event_id=derived_event_id(at, "shadows", str(number), str(challenger)),
                occurred_at=at,
                trace_id=TRACE_ID,
                transaction_id=f"t{number}",
                card_id=f"card-{number % 50}",
                decision_id=derived_event_id(at, "scores", str(number)),
                decision=verdict(scores[0]),
                score=scores[0],
                model_name="fraud",
                model_version=1 if number < A_DAY else 3,
                challenger_version=challenger,
                challenger_digest="c" * 64,
                challenger_decision=verdict(scores[1]),
                challenger_score=scores[1],
            )
        )
    return made


def risk_of(number: int) -> float:
    return (number * 37 % 100) / 100


def frauds() -> list[Label]:
    payments = [payment(f"t{n}", after=n * DAY / A_DAY, card_id=f"card-{n % 50}") for n in range(DAYS * A_DAY)]
    return [label(each, known_after=DAY) for number, each in enumerate(payments) if risk_of(number) > 0.85]


def report(home: Path, said: Sequence[ShadowScore], labels: Sequence[Label] = (), challenger: int = 2) -> ShadowReport:
    kept = archive(home)
    kept.write(delivered(SHADOWS, said))
    kept.write(delivered(LABELS, labels))
    return read_shadow_report(kept, FRAUD, challenger, settings(home, label_delay_days=LABEL_DELAY_DAYS))


def test_verdicts_and_scores_are_counted_as_one_by_one(tmp_path: Path) -> None:
    said = shadows()
    found = report(tmp_path, said)
    counted = Counter((each.decision, each.challenger_decision) for each in said)
    assert found.verdicts.tolist() == [[counted[row, column] for column in VERDICTS] for row in VERDICTS]
    assert found.agreement == sum(counted[both, both] for both in VERDICTS) / len(said)
    differences = [(each.challenger_score or 0) - (each.score or 0) for each in said]
    assert found.mean_difference == pytest.approx(np.mean(differences))
    assert (found.payments, found.paired, found.versions) == (len(said), len(said), (1, 3))
    assert (found.first, found.last) == (said[0].occurred_at, said[-1].occurred_at)


def test_both_are_ranked_on_the_same_matured_payments_only(tmp_path: Path) -> None:
    said, labels = shadows(), frauds()
    matured = report(tmp_path, said, labels).matured
    old_enough = [each for each in said if each.occurred_at <= said[-1].occurred_at - LABEL_DELAY_DAYS * DAY]
    known = {each.transaction_id for each in labels if each.occurred_at <= said[-1].occurred_at}
    truth = [each.transaction_id in known for each in old_enough]
    assert (matured.payments, matured.frauds) == (len(old_enough), sum(truth))
    for ranked, scores in (
        (matured.decided, [each.score for each in old_enough]),
        (matured.challenger, [each.challenger_score for each in old_enough]),
    ):
        assert ranked.average_precision == pytest.approx(average_precision_score(truth, scores))
        assert ranked.auc_roc == pytest.approx(roc_auc_score(truth, scores))
    assert matured.test.better
    assert "a lead of +" in matured.test.explanation


def test_the_latest_label_counts(tmp_path: Path) -> None:
    said, labels = shadows(), frauds()
    first = labels[0]
    later = first.occurred_at + timedelta(hours=1)
    taken_back = replace(first, event_id=derived_event_id(later, "labels", "back"), occurred_at=later, label="genuine")
    without = report(tmp_path / "a", said, labels).matured.frauds
    assert report(tmp_path / "b", said, [*labels, taken_back]).matured.frauds == without - 1


def test_payments_that_one_of_them_did_not_score_count_for_verdicts_only(tmp_path: Path) -> None:
    said = shadows()
    said[0] = replace(said[0], score=None)
    said[1] = replace(said[1], challenger_score=None)
    found = report(tmp_path, said, frauds())
    assert (found.payments, int(found.verdicts.sum()), found.paired) == (len(said), len(said), len(said) - 2)


def test_without_labels_it_says_that_nothing_can_be_compared(tmp_path: Path) -> None:
    matured = report(tmp_path, shadows()).matured
    assert np.isnan(matured.decided).all()
    assert matured.test.p_value is None
    assert "not comparable yet" in matured.test.explanation


def test_each_challenger_has_its_own_report_and_one_that_was_never_shown_anything_has_none(tmp_path: Path) -> None:
    found = report(tmp_path, [*shadows(), *shadows(challenger=4, noise=0.8, seed=1)], frauds(), challenger=4)
    assert found.payments == DAYS * A_DAY
    assert not found.matured.test.better
    with pytest.raises(RefusedError, match="`headrace models shadow`"):
        report(tmp_path, [], challenger=9)
