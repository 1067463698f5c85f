"""The data quality report: each fault is told of once, with its feature and share; what rules a model out refuses."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from services.training.data.dataset import Reading, TrainingSet, read_training_set
from services.training.data.quality import DataQuality, Finding, exact_rows, quality_of, range_of, require_usable
from services.training.refusal import RefusedError
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import DAY, HOUR, Aggregation, Category, Entity, Field, Row, RowFunction, Window
from tests.unit.training.training_scene import AMOUNT, COUNT, archive, settings, world

ROWS = 500
SUM = FRAUD.feature_names.index("card_sum_amount_1d")
SHARE = FRAUD.feature_names.index("card_share_same_mcc_30d")


def clean() -> TrainingSet:
    """Values that every definition allows, all different."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 1, (ROWS, len(FRAUD.features))).astype(np.float32)
    return TrainingSet(
        feature_set=FRAUD,
        rows=rows,
        frauds=(np.arange(ROWS) % 10 == 0).astype(np.int8),
        times=np.arange(ROWS, dtype=np.int64) * 3_600_000_000,
        cards=np.arange(ROWS, dtype=np.int64),
        amounts=np.arange(ROWS, dtype=np.int64),
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
    )


def quality(data: TrainingSet) -> DataQuality:
    return quality_of(data, data.rows.astype(np.float64))


def planted(column: int, values: npt.ArrayLike, *, first: int = ROWS) -> DataQuality:
    """Return the quality of clean data where the `first` rows of a column hold `values`."""
    data = clean()
    data.rows[:first, column] = values
    return quality(data)


def only(found: DataQuality) -> Finding:
    (finding,) = found.findings
    return finding


def test_clean_data_has_nothing_wrong_and_says_what_it_is() -> None:
    found = quality(clean())
    assert found.findings == ()
    assert (found.rows, found.frauds, found.unlabelled) == (ROWS, 50, 0)
    assert found.oldest == datetime(1970, 1, 1, tzinfo=UTC)
    assert found.newest == datetime(1970, 1, 21, 19, tzinfo=UTC)
    require_usable(found)


def test_missing_values_are_told_and_a_feature_without_any_value_refuses() -> None:
    finding = only(planted(COUNT, np.nan, first=50))
    assert finding == Finding("missing", "card_count_1d", "has no value in 10.00% of the payments", 0.1)
    with pytest.raises(
        RefusedError, match=r"feature card_count_1d has no value in any payment; .* remove it"
    ) as refused:
        require_usable(planted(COUNT, np.nan))
    assert refused.value.code == "data_quality"


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values_refuse(value: float) -> None:
    found = planted(COUNT, value, first=1)
    finding = only(found)
    assert (finding.kind, finding.feature, finding.share) == ("infinite", "card_count_1d", 1 / ROWS)
    with pytest.raises(RefusedError, match="feature card_count_1d is infinite"):
        require_usable(found)


def test_a_constant_is_told_and_a_model_is_trained_all_the_same() -> None:
    found = planted(COUNT, 3)
    assert only(found) == Finding("constant", "card_count_1d", "is always 3", 1.0)
    require_usable(found)


def test_a_value_that_nearly_all_payments_have_is_told() -> None:
    data = clean()
    rows = np.repeat(data.rows, 10, axis=0)
    data = replace(data, rows=rows, frauds=np.repeat(data.frauds, 10), times=np.repeat(data.times, 10))
    data.rows[1:, COUNT] = 7
    told = [finding for finding in quality(data).findings if finding.feature == "card_count_1d"]
    assert [(finding.kind, finding.explanation) for finding in told] == [
        ("near_constant", "is 7 in 99.98% of the payments")
    ]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        (COUNT, -1, "lies outside of 0 to inf in 1.00% of the payments, for example -1"),
        (AMOUNT, -0.5, "lies outside of 0 to inf in 1.00% of the payments, for example -0.5"),
        (SHARE, 1.5, "lies outside of 0 to 1 in 1.00% of the payments, for example 1.5"),
    ],
)
def test_a_value_that_the_definition_rules_out_is_told(column: int, value: float, told: str) -> None:
    found = planted(column, value, first=5)
    assert only(found) == Finding("out_of_range", FRAUD.feature_names[column], told, 0.01)
    require_usable(found)


def test_a_bound_itself_as_float32_carries_it_is_within() -> None:
    assert planted(SHARE, np.nextafter(np.float32(1), np.float32(2)), first=5).findings == ()


def test_ranges_follow_from_the_definitions() -> None:
    card = Entity.CARD
    assert range_of(Window(card, Aggregation.FRAUD_RATE, DAY)) == (0, 1)
    assert range_of(Window(card, Aggregation.SUM, DAY)) == (0, np.inf)
    assert range_of(Window(card, Aggregation.Z_SCORE, DAY)) == (-np.inf, np.inf)
    assert range_of(Window(card, Aggregation.SINCE_FIRST, DAY, HOUR)) == (0, 25 * 3600)
    assert range_of(Row(RowFunction.HOUR_SINE)) == (-1, 1)
    assert range_of(Row(RowFunction.NIGHT)) == (0, 1)
    assert range_of(Category(Field.MCC)) == (0, np.inf)


def test_a_column_that_repeats_another_is_told_and_constants_are_not_told_twice() -> None:
    data = clean()
    data.rows[:, SUM] = data.rows[:, COUNT]
    data.rows[:, AMOUNT] = data.rows[:, SHARE] = 1
    found = quality(data).findings
    assert [(finding.kind, finding.feature) for finding in found] == [
        ("constant", "amount"),
        ("constant", "card_share_same_mcc_30d"),
        ("same_column", "card_sum_amount_1d"),
    ]
    assert found[-1].explanation == "equals card_count_1d in every payment"


def test_columns_that_repeat_each_other_are_told_where_values_are_missing_too() -> None:
    data = clean()
    data.rows[:5, COUNT] = np.nan
    data.rows[:, SUM] = data.rows[:, COUNT]
    kinds = [(finding.kind, finding.feature) for finding in quality(data).findings]
    assert kinds == [
        ("missing", "card_count_1d"),
        ("missing", "card_sum_amount_1d"),
        ("same_column", "card_sum_amount_1d"),
    ]


def test_rows_that_repeat_each_other_are_counted() -> None:
    data = clean()
    data.rows[10:15] = data.rows[0]
    finding = only(quality(data))
    assert (finding.kind, finding.feature, finding.share) == ("same_rows", None, 0.01)
    assert finding.explanation.startswith("5 payments")


def test_what_reading_came_across_is_told() -> None:
    found = quality(replace(clean(), reading=Reading(repeated=5, degraded=10))).findings
    assert [(finding.kind, finding.share) for finding in found] == [("repeated", 0.01), ("degraded", 0.02)]


def test_what_float32_cannot_tell_apart_is_told() -> None:
    data = clean()
    exact = data.rows.astype(np.float64)
    exact[:, COUNT] = 1.7e9 + np.arange(ROWS)
    finding = only(quality_of(data, exact))
    assert (finding.kind, finding.feature) == ("float32", "card_count_1d")
    assert finding.share > 0.9


def test_json_says_everything() -> None:
    told = json.loads(planted(COUNT, 3).to_json())
    assert told["oldest"] == "1970-01-01T00:00:00Z"
    assert told["rows"] == ROWS
    assert told["findings"] == [
        {"kind": "constant", "feature": "card_count_1d", "explanation": "is always 3", "share": 1.0, "refuses": False}
    ]


def test_archived_payments_are_read_in_full_precision(tmp_path: Path) -> None:
    kept, scene = archive(tmp_path), world(days=6)
    kept.write(scene.deliveries())
    data = read_training_set(kept, FRAUD, settings(tmp_path))
    exact = exact_rows(kept, data)
    newest = max(made.occurred_at for made in scene.vectors if made.occurred_at.timestamp() * 1e6 <= data.times[-1])
    archived = [made.values for made in scene.vectors if made.occurred_at.date() == newest.date()]
    assert sorted(exact[:, AMOUNT].tolist()) == sorted(values[AMOUNT] for values in archived)
    require_usable(quality_of(data, exact))
