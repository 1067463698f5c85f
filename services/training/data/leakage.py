"""Leakage: features that tell a model, in training, what it will not know when it is asked.

See Kaufman, Rosset, Perlich, Stitelman, "Leakage in Data Mining", 2012. A model trained on a leak is excellent on every
measure taken from the same data, and fails in service; so a leak refuses the run.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from services.training.archive import Archive
from services.training.columns import feature_columns
from services.training.data.dataset import TrainingSet
from services.training.data.folds import Fold
from services.training.gates.probe import spread
from services.training.parity import Mismatch, histories, mismatches
from services.training.refusal import RefusedError
from shared.features.definitions import Entity

GENUINE_ROWS_MAX = 50_000
"""Genuine payments that a feature is measured on, evenly spread."""
ORDER_ROWS_MAX = 20_000
DISTINCT_SHARE = 0.9
DISTINCT_ENOUGH = 1_000
"""What numbers payments takes nearly as many values as there are payments; a clock in float32 at least so many."""
CARDS_MIN = 50
CARDS_MAX = 2_000
CARD_PAYMENTS_MIN = 3
CARD_SHARE = 0.95
"""Share of the cards that a feature must be constant within, and of those, different between."""
SAMPLE_DAYS_MAX = 10
SAMPLE_ROWS_MIN = 10
"""Of fewer sampled payments a share says nothing."""
TOLD_MAX = 3

_EPOCH = date(1970, 1, 1)
_DAY_US = 24 * 3600 * 1_000_000
_SAMPLED = ["transaction_event_id", "transaction_id", "occurred_at", "degraded"]


@dataclass(frozen=True)
class LeakageBounds:
    """From where on a feature is taken for a leak.

    auc, average_precision: of one feature alone, both reached, with at least `frauds_min` frauds and genuine payments.
    order_correlation: Spearman's, with the order of arrival. differing_share: of about `sample_rows` payments, those
    whose value was served otherwise than it is recomputed.
    """

    auc: float = 0.99
    average_precision: float = 0.95
    frauds_min: int = 20
    order_correlation: float = 0.999
    differing_share: float = 0.2
    sample_rows: int = 200


class Check(NamedTuple):
    """One question asked of the data. feature: the one that leaks, None when none does."""

    name: str
    passed: bool
    explanation: str
    feature: str | None = None


def check_leakage(
    data: TrainingSet, folds: Sequence[Fold], archive: Archive, bounds: LeakageBounds | None = None
) -> tuple[Check, ...]:
    """Return what was checked, all of it passed.

    Raises:
        RefusedError: a feature leaks, or folds overlap; the message names each feature and says what to do.
    """
    bounds = bounds or LeakageBounds()
    checks = (
        *revealing(data, bounds),
        *numbering(data, bounds),
        *naming_cards(data),
        *from_the_future(data, archive, bounds),
        *overlapping(data, folds),
    )
    leaks = [check.explanation for check in checks if not check.passed]
    if leaks:
        more = [f"and {len(leaks) - TOLD_MAX} more leaks"] if len(leaks) > TOLD_MAX else []
        raise RefusedError("leakage", "; ".join([*leaks[:TOLD_MAX], *more]))
    return checks


def revealing(data: TrainingSet, bounds: LeakageBounds) -> tuple[Check, ...]:
    """Tell of features that alone separate fraud from genuine nearly perfectly, a missing value being one too."""
    name = "no feature alone tells fraud"
    frauds = np.flatnonzero(data.frauds == 1)
    genuine = np.flatnonzero(data.frauds == 0)
    if min(len(frauds), len(genuine)) < bounds.frauds_min:
        told = f"not checked: {len(frauds)} frauds, {len(genuine)} genuine, {bounds.frauds_min} of each are needed"
        return (Check(name, True, told),)
    some = spread(genuine, GENUINE_ROWS_MAX)
    taken = np.sort(np.concatenate([frauds, some]))
    labels = data.frauds[taken]
    # Genuine payments count for those that were left out, or precision would be too good.
    weights = np.where(labels == 1, 1.0, len(genuine) / len(some))
    strongest, leaks = 0.5, []
    for at, feature in enumerate(data.feature_set.feature_names):
        values = data.rows[taken, at]
        readings = _category(values, labels) if at in data.feature_set.categories else _orders(values)
        auc, precision = max(_separation(ranks, labels, weights, bounds.auc) for ranks in readings)
        strongest = max(strongest, auc)
        if auc >= bounds.auc and precision >= bounds.average_precision:
            told = (
                f"feature {feature} alone tells fraud from genuine (AUC {auc:.4f}, average precision {precision:.4f}), "
                "which is too good to be true: it is probably computed from the label, or after it was known; correct "
                "its definition or remove it from the feature set"
            )
            leaks.append(Check(name, False, told, feature))
    return tuple(leaks) or (Check(name, True, f"the strongest feature alone has AUC {strongest:.3f}"),)


def _orders(values: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the ways in which values may be ordered: missing ones first or last, or by whether they are missing."""
    is_missing = np.isnan(values)
    if not is_missing.any():
        yield rankdata(values, method="dense")
        return
    for end in (-np.inf, np.inf):
        yield rankdata(np.where(is_missing, end, values), method="dense")
    yield is_missing.astype(np.float64)


def _category(codes: npt.NDArray[np.float32], labels: npt.NDArray[np.int8]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the fraud rate of each payment's category, taken from the other half of the payments."""
    _, places = np.unique(codes, return_inverse=True)
    rates = np.empty(len(codes))
    is_odd = np.arange(len(codes)) % 2 == 1
    for half in (is_odd, ~is_odd):
        others = places[~half]
        counts = np.bincount(others, minlength=places.max() + 1)
        frauds = np.bincount(others, weights=labels[~half], minlength=places.max() + 1)
        rates[half] = ((frauds + labels.mean()) / (counts + 1))[places[half]]
    yield rates


def _separation(
    ranks: npt.NDArray[np.float64], labels: npt.NDArray[np.int8], weights: npt.NDArray[np.float64], auc_min: float
) -> tuple[float, float]:
    """Return AUC and average precision in the better direction; the latter only where the former reaches `auc_min`."""
    auc = float(roc_auc_score(labels, ranks))
    if auc < 0.5:
        auc, ranks = 1 - auc, -ranks
    return auc, float(average_precision_score(labels, ranks, sample_weight=weights)) if auc >= auc_min else 0.0


def numbering(data: TrainingSet, bounds: LeakageBounds) -> tuple[Check, ...]:
    """Tell of features that grow or fall with the order of arrival: an id, or a clock."""
    name = "no feature numbers the payments"
    taken = spread(np.arange(len(data.frauds)), ORDER_ROWS_MAX)
    order = rankdata(data.times[taken])
    leaks = []
    for at, feature in enumerate(data.feature_set.feature_names):
        values = data.rows[taken, at]
        if len(np.unique(values)) < min(DISTINCT_SHARE * len(taken), DISTINCT_ENOUGH) or np.isnan(values).any():
            continue
        correlation = float(np.corrcoef(rankdata(values), order)[0, 1])
        if abs(correlation) > bounds.order_correlation:
            told = (
                f"feature {feature} follows the order of arrival (rank correlation {correlation:.5f}): it is an id or "
                "a clock, whose values a model will not meet again; remove it from the feature set"
            )
            leaks.append(Check(name, False, told, feature))
    return tuple(leaks) or (Check(name, True, "no feature follows the order of arrival"),)


def naming_cards(data: TrainingSet) -> tuple[Check, ...]:
    """Tell of features that are constant within a card and different between cards: the card's id in another form."""
    name = "no feature names the card"
    order = np.argsort(data.cards, kind="stable")
    _, begins, counts = np.unique(data.cards[order], return_index=True, return_counts=True)
    known = spread(np.flatnonzero(counts >= CARD_PAYMENTS_MIN), CARDS_MAX)
    if len(known) < CARDS_MIN:
        told = f"not checked: {len(known)} cards with {CARD_PAYMENTS_MIN} payments, {CARDS_MIN} are needed"
        return (Check(name, True, told),)
    taken = np.concatenate([order[begins[card] : begins[card] + counts[card]] for card in known])
    firsts = np.cumsum(counts[known]) - counts[known]
    leaks = []
    for at, feature in enumerate(data.feature_set.feature_names):
        values = data.rows[taken, at]
        least = np.minimum.reduceat(values, firsts)
        constant = least[least == np.maximum.reduceat(values, firsts)]
        if len(constant) >= CARD_SHARE * len(known) and len(np.unique(constant)) >= CARD_SHARE * len(constant):
            told = (
                f"feature {feature} is constant within a card and different between {len(known)} cards: it names the "
                "card, and a model would learn by heart which cards were defrauded; remove it from the feature set"
            )
            leaks.append(Check(name, False, told, feature))
    return tuple(leaks) or (Check(name, True, f"none of {len(known)} cards can be told by one feature"),)


def from_the_future(data: TrainingSet, archive: Archive, bounds: LeakageBounds) -> tuple[Check, ...]:
    """Tell of features whose archived values are not what had arrived by then gives, among frauds or the others.

    Recomputes a sample of the payments as the parity job does, half of it frauds where there are so many.

    Raises:
        RefusedError: a file of the archive cannot be read.
    """
    name = "no feature knows the future"
    sample = _sampled(data, archive, bounds.sample_rows)
    if sample.is_empty():
        return (Check(name, True, "not checked: the state behind every sampled payment was incomplete"),)
    found = mismatches(data.feature_set, sample, *histories(archive, data.feature_set, sample))
    leaks: dict[str, Check] = {}
    for kind, is_fraud in (("frauds", True), ("genuine payments", False)):
        concerned = set(sample.filter(is_fraud=is_fraud)["transaction_id"])
        differing: dict[str, list[Mismatch]] = defaultdict(list)
        for mismatch in found:
            if mismatch.transaction_id in concerned:
                differing[mismatch.feature].append(mismatch)
        for feature, (first, *others) in differing.items():
            share = (1 + len(others)) / len(concerned)
            if len(concerned) >= SAMPLE_ROWS_MIN and share > bounds.differing_share:
                told = (
                    f"feature {feature} is not what the events before a payment give, in {share:.0%} of "
                    f"{len(concerned)} sampled {kind}: transaction {first.transaction_id} is archived with "
                    f"{first.served:g}, and {first.recomputed:g} is right; it knows the future, was computed "
                    "wrongly, or files of the archive are gone: correct what computes it, and backfill the archive"
                )
                leaks.setdefault(feature, Check(name, False, told, feature))
    told = f"{len(found)} values of {len(sample)} sampled payments differ from what had arrived by then"
    return tuple(leaks.values()) or (Check(name, True, told),)


def _sampled(data: TrainingSet, archive: Archive, count: int) -> pl.DataFrame:
    """Return up to about `count` of the payments as they are archived, and whether each `is_fraud`."""
    days = spread(_recomputable(data, archive), SAMPLE_DAYS_MAX)
    a_day = max(1, count // (2 * len(days)))
    columns = [*_SAMPLED, *(f"{entity.value}_id" for entity in Entity), *feature_columns(data.feature_set)]
    fraud_times = pl.Series(data.times[data.frauds == 1])
    time = pl.col("occurred_at").dt.epoch("us")
    place, of_kind = pl.int_range(pl.len()).over("is_fraud"), pl.len().over("is_fraud").cast(pl.Int64)
    parts = []
    for number in days.tolist():
        day = _EPOCH + timedelta(days=number)
        vectors = archive.vectors(data.feature_set, columns, since=day, until=day)
        # Where the state was lost, the vector says so itself.
        whole = vectors.filter(
            time.is_between(data.times[0], data.times[-1]) & ~pl.col("degraded").list.contains("incomplete")
        )
        once = whole.unique("transaction_id", keep="first", maintain_order=True)
        known = once.with_columns(is_fraud=time.is_in(fraud_times.implode()))
        parts.append(known.filter((place + 1) * a_day // of_kind > place * a_day // of_kind))
    return pl.concat(parts)


def _recomputable(data: TrainingSet, archive: Archive) -> npt.NDArray[np.int64]:
    """Return the days of the payments, as days since 1970, whose whole past is archived; all of them if none has.

    An archive that is younger than the longest window may still be whole, where the service is as young.
    """
    days = np.unique(data.times // _DAY_US)
    reach = data.feature_set.longest_horizon + timedelta(days=1)
    covered = days[days >= (archive.payment_dates()[0] + reach - _EPOCH).days]
    return covered if len(covered) else days


def overlapping(data: TrainingSet, folds: Sequence[Fold]) -> tuple[Check, ...]:
    """Tell of folds in which a payment is both learnt from and measured on, or one learnt from is the later."""
    name = "folds are apart in time"
    wrong = [
        number
        for number, fold in enumerate(folds, start=1)
        if data.times[fold.train].max() >= data.times[fold.test].min()
    ]
    if wrong:
        told = f"in fold {wrong[0]} of {len(folds)} a payment is learnt from that is not earlier than those measured on"
        return (Check(name, False, told),)
    return (Check(name, True, f"in each of {len(folds)} folds, what is learnt from is earlier"),)
