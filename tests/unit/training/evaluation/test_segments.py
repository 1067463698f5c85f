"""Segments are named as people name them, measured as the whole is, and the worst one leads."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import average_precision_score, precision_score, recall_score

from services.training.evaluation.scored import Scored
from services.training.evaluation.segments import FRAUDS_MIN, Segment, parts, segments, worst
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import Field
from shared.features.state import category_code
from tests.unit.training.evaluation.evaluation_scene import scored

REVIEW = 0.1
COUNTRY = FRAUD.feature_names.index("country")
AGE = FRAUD.feature_names.index("card_seconds_since_first_30d")


def found(it: Scored) -> dict[str, Segment]:
    return {segment.name: segment for segment in segments(it, FRAUD, REVIEW, resamples=20)}


def in_country(it: Scored, country: str) -> npt.NDArray[np.bool_]:
    assert it.rows is not None
    taken: npt.NDArray[np.bool_] = it.rows[:, COUNTRY] == category_code(Field.COUNTRY, country)
    return taken


def test_a_category_is_measured_by_its_own_payments_and_named_in_words() -> None:
    it = scored(rate=0.1)
    german = it.part(in_country(it, "DE"))
    segment = found(it)["country=DE"]
    assert (segment.payments, segment.frauds) == (len(german.frauds), german.frauds.sum())
    assert segment.figures is not None
    taken = german.scores >= REVIEW
    assert segment.figures.average_precision.value == pytest.approx(
        average_precision_score(german.frauds, german.scores)
    )
    assert segment.figures.precision.value == pytest.approx(precision_score(german.frauds, taken))
    assert segment.figures.recall.value == pytest.approx(recall_score(german.frauds, taken))
    assert segment.figures.recall.low <= segment.figures.recall.value <= segment.figures.recall.high


def test_every_payment_is_in_one_segment_of_each_kind() -> None:
    it = scored()
    named = dict(parts(it.amounts, it.rows, FRAUD))
    for kind in ("amount", "card known", "country=", "channel=", "mcc="):
        held = np.sum([taken for name, taken in named.items() if name.startswith(kind)], axis=0)
        assert (held == 1).all(), kind


def test_ages_of_cards_are_told_apart() -> None:
    it = scored(payments=4)
    assert it.rows is not None
    it.rows[:, AGE] = [0, 86_399, 86_400, 30 * 86_400]
    named = dict(parts(it.amounts, it.rows, FRAUD))
    assert named["card known for 0 to 1 days"].tolist() == [True, True, False, False]
    assert named["card known for 1 to 7 days"].tolist() == [False, False, True, False]
    assert named["card known for 30 days or more"].tolist() == [False, False, False, True]


def test_rare_categories_are_one_segment() -> None:
    it = scored(payments=1_000)
    assert it.rows is not None
    codes = [category_code(Field.COUNTRY, f"{first}{last}") for first in "ABCDE" for last in "EFGHI"]
    it.rows[:, COUNTRY] = np.array(codes, dtype=np.float32)[np.minimum(np.arange(1_000) % 40, 24)]
    named = [name for name, _ in parts(it.amounts, it.rows, FRAUD) if name.startswith("country=")]
    assert len(named) == 21
    assert named[-1] == "country=any other"


def test_a_code_that_no_category_has_is_shown_as_it_is() -> None:
    it = scored(payments=50)
    assert it.rows is not None
    it.rows[:, FRAUD.feature_names.index("channel")] = 99
    assert "channel=99" in dict(parts(it.amounts, it.rows, FRAUD))


def test_too_few_frauds_tell_nothing() -> None:
    it = scored(rate=0.1)
    frauds = it.frauds.copy()
    frauds[np.flatnonzero(in_country(it, "FR") & (frauds == 1))[FRAUDS_MIN - 1 :]] = 0
    segment = found(replace(it, frauds=frauds))["country=FR"]
    assert segment.frauds == FRAUDS_MIN - 1
    assert segment.figures is None


def test_the_segment_in_which_fraud_is_missed_leads() -> None:
    it = scored(payments=4_000, rate=0.1)
    missed = in_country(it, "FR")
    scores = np.where(missed & (np.arange(4_000) % 3 > 0), 0.001, it.scores).astype(np.float32)
    listed = segments(replace(it, scores=scores), FRAUD, REVIEW, resamples=20)
    assert listed[0].name == "country=FR"
    assert worst(listed, 1) == listed[:1]
    assert all(segment.figures for segment in worst(listed, 100))


def test_without_rows_there_are_amounts_alone() -> None:
    assert all(name.startswith("amount") for name in found(replace(scored(), rows=None)))
