"""How well models catch the Fraud Detection Handbook's frauds: `make bench-quality HEADRACE_DATA=...`.

Every split trains on 7 days and is tested on the 7 days that begin 7 days later, as in the book; features look back
over the whole file, and see a fraud 7 days late. Family and parameters are chosen by the training service's search on
the validation folds, which end as the first test fold begins to train: once for the book's 15 features, once for
Headrace's own. Every figure is a mean over seeds, with its range.

That no feature knows the future is checked on a sample: the vector is made again from what the log held at the payment,
every later payment and every label known later removed, and must be the same.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from joblib import Parallel, delayed
from rich.console import Console

from services.training.data.dataset import TrainingSet
from services.training.data.folds import Fold
from services.training.estimators.families import Spec, fit
from services.training.search.search import Found, SearchPlan, search
from services.training.search.steps import Steps
from shared.features.backfill import Backfilled, backfilled
from shared.features.catalog.fraud import FRAUD, HANDBOOK
from shared.features.definitions import Aggregation, Entity, FeatureSet, Window
from shared.runtime.clock import SystemClock
from tests.benchmarks import handbook_protocol as book
from tests.benchmarks.handbook_features import book_rows, columns
from tests.benchmarks.report import Figure, publish

FAMILIES = ("gradient_boosting", "soft_voting", "random_forest", "extra_trees", "logistic_l2")
START = {
    HANDBOOK.name: (
        Spec(
            "soft_voting",
            {
                "members": "gradient_boosting+random_forest+multilayer_perceptron",
                "genuine_fraction": 0.25,
                "random_forest.max_features": 0.5,
                "random_forest.max_samples": 0.8,
                "multilayer_perceptron.alpha": 0.1,
                "multilayer_perceptron.hidden_layer_sizes": "64-32",
                "multilayer_perceptron.max_iter": 40,
            },
        ),
        Spec("random_forest", {"genuine_fraction": 0.25, "max_features": 0.5, "max_samples": 0.4}),
    ),
    FRAUD.name: (
        Spec(
            "soft_voting",
            {
                "members": "gradient_boosting+extra_trees",
                "genuine_fraction": 0.25,
                "extra_trees.max_features": 0.5,
            },
        ),
    ),
}
"""Tried first, by set of features: the best of about forty tried by hand, on the validation folds only."""
SEARCH_SECONDS, CANDIDATES_MAX = 120.0, 27
SEEDS = 3
SAMPLE = 200
GOALS = book.Result(0.90, 0.78, 0.315, float("nan"))
"""For Headrace's features, prequential."""
LABELS = {"auc_roc": "AUC ROC", "average_precision": "average precision", "card_precision": "CP@100"}
KNOWN_FRAUD = {
    Aggregation.FRAUD_COUNT,
    Aggregation.FRAUD_RATE,
    Aggregation.FRAUD_STREAK,
    Aggregation.SINCE_FRAUD,
}
AGAINST_PAST = {Aggregation.RATIO, Aggregation.Z_SCORE, Aggregation.ROBUST_Z, Aggregation.OUTLIERS}
Groups = dict[str, Callable[[Window], bool]]
GROUPS: Groups = {
    "merchant's known frauds": lambda window: (
        window.aggregation in KNOWN_FRAUD and window.entities[0] is Entity.MERCHANT
    ),
    "card's known frauds": lambda window: window.aggregation in KNOWN_FRAUD and window.entities[0] is Entity.CARD,
    "amount against the card's past": lambda window: (
        window.aggregation in AGAINST_PAST and window.entities[0] is Entity.CARD
    ),
    "merchant's payments": lambda window: (
        window.aggregation not in KNOWN_FRAUD and window.entities[0] is Entity.MERCHANT
    ),
}
"""Windows beyond the book's, by what they tell; what a group brings is what is lost without it."""

console = Console()


class Answered(NamedTuple):
    """transactions: the book's rows; data: the same rows' vectors, in the same order."""

    transactions: pl.DataFrame
    data: TrainingSet


def main() -> None:
    rows = book_rows()
    if rows is None:
        return
    payments, labels = columns(rows)
    with console.status("making the vectors"):
        ours, made = vectors_of(rows, payments, labels)
    figures: list[Figure] = []
    theirs = narrowed(ours, HANDBOOK)
    for name, answered in (("book's 15 features", theirs), (f"Headrace's {len(FRAUD.features)} features", ours)):
        started = time.perf_counter()
        with console.status(f"searching, {name}"):
            found = searched(answered)
        key = answered.data.feature_set.name
        figures.append(Figure(f"{key}_search_seconds", f"{name}: search seconds", time.perf_counter() - started))
        figures.append(Figure(f"{key}_search_trials", f"{name}: trials; won: {found.best}", len(found.trials)))
        with console.status(f"testing, {name}"):
            figures += tested_figures(key, name, answered, found.best)
    with console.status("leaving out groups of features"):
        figures += group_figures(ours, found.best)
    with console.status("looking for the future in the features"):
        figures += look_ahead_figures(made, payments, labels)
    publish("quality", "fraud handbook: models on 7 days, tested a week later", figures)


def vectors_of(rows: pl.DataFrame, payments: pl.DataFrame, labels: pl.DataFrame) -> tuple[Answered, Backfilled]:
    """Return the vectors of the payments in all splits, which have the whole file before them as history."""
    until = book.PREQUENTIAL[-1] + timedelta(weeks=3)
    asked = payments.filter(pl.col("occurred_at").is_between(book.VALIDATION[0], until, closed="left"))
    made = backfilled(FRAUD, payments, labels, only=asked["event_id"])
    order = made.payments.select("amount", "occurred_at", TRANSACTION_ID=pl.col("event_id").cast(pl.Int32))
    transactions = order.join(rows, on="TRANSACTION_ID", how="left", maintain_order="left").with_row_index("row")
    data = TrainingSet(
        feature_set=FRAUD,
        rows=made.values.astype(np.float32),
        frauds=transactions["TX_FRAUD"].to_numpy().astype(np.int8),
        times=transactions["occurred_at"].dt.epoch("us").to_numpy(),
        cards=transactions["CUSTOMER_ID"].to_numpy().astype(np.int64),
        amounts=transactions["amount"].to_numpy(),
        as_of=until,
    )
    return Answered(transactions, data), made


def narrowed(answered: Answered, feature_set: FeatureSet) -> Answered:
    """Return the same payments, of their vectors only the features of `feature_set`."""
    kept = [answered.data.feature_set.features.index(feature) for feature in feature_set.features]
    rows = np.ascontiguousarray(answered.data.rows[:, kept])
    return answered._replace(data=replace(answered.data, feature_set=feature_set, rows=rows, unlabelled=rows[:0]))


def split(answered: Answered, train_from: datetime) -> tuple[Fold, pl.DataFrame]:
    """Return which payments one split learns from and is tested on, and the latter's rows in order of time."""
    tested = book.tested_payments(answered.transactions, train_from).sort("row")
    fold = Fold(*(np.zeros(len(answered.data.frauds), dtype=np.bool_) for _ in range(2)))
    fold.train[book.days_of(answered.transactions, train_from, book.TRAIN_DAYS)["row"].to_numpy()] = True
    fold.test[tested["row"].to_numpy()] = True
    return fold, tested


def searched(answered: Answered) -> Found:
    """Return what won on the validation folds; nothing later is in the search's hands."""
    folds = [split(answered, train_from)[0] for train_from in book.VALIDATION]
    seen = np.flatnonzero(folds[-1].test)[-1] + 1
    data = answered.data.part(np.arange(len(answered.data.frauds)) < seen)
    plan = SearchPlan(FAMILIES, SEARCH_SECONDS, CANDIDATES_MAX, start=START[data.feature_set.name])
    with tempfile.TemporaryDirectory() as folder:
        return search(
            data,
            [Fold(fold.train[:seen], fold.test[:seen]) for fold in folds],
            plan,
            steps=Steps(Path(folder)),
            clock=SystemClock(),
            show=lambda _progress: None,
        )


def tested(answered: Answered, spec: Spec, *, seeds: int) -> npt.NDArray[np.float64]:
    """Return the figures of book.Result, shape (seeds, prequential folds, figures)."""
    splits = [split(answered, train_from) for train_from in book.PREQUENTIAL]
    results = Parallel(n_jobs=-1, prefer="processes")(
        delayed(_trained_and_tested)(
            spec, answered.data.part(fold.train), answered.data.rows[fold.test], rows.select(_NEEDED), seed
        )
        for seed in range(seeds)
        for fold, rows in splits
    )
    return np.array(results).reshape(seeds, len(splits), -1)


_NEEDED = ["CUSTOMER_ID", "TX_TIME_DAYS", "TX_FRAUD"]


def _trained_and_tested(
    spec: Spec, train: TrainingSet, rows: npt.NDArray[np.float32], payments: pl.DataFrame, seed: int
) -> book.Result:
    model = fit(spec, train, seed=seed)
    return book.evaluate(payments, model.predict_proba(rows)[:, 1].astype(np.float64))


def tested_figures(key: str, name: str, answered: Answered, spec: Spec) -> list[Figure]:
    """Return the three figures of both protocols beside the best that is published."""
    results = tested(answered, spec, seeds=SEEDS)
    protocols = {
        "single": (results[:, 0], book.PUBLISHED),
        "prequential": (results.mean(axis=1), book.PUBLISHED_PREQUENTIAL),
    }
    figures = []
    for protocol, (by_seed, published) in protocols.items():
        for field, label in LABELS.items():
            values = by_seed[:, book.Result._fields.index(field)]
            model, best = max(published.items(), key=lambda item: getattr(item[1], field))
            goal = getattr(GOALS if answered.data.feature_set == FRAUD and protocol == "prequential" else best, field)
            figures.append(
                Figure(
                    f"{key}_{protocol}_{field}",
                    f"{name}, {protocol}: {label}, {SEEDS} seeds {values.min():.4f} to {values.max():.4f}",
                    float(values.mean()),
                    getattr(best, field),
                    f"published, {model}",
                    f">= {goal}",
                )
            )
        ceiling = float(by_seed[:, -1].mean())
        figures.append(Figure(f"{key}_{protocol}_ceiling", f"{name}, {protocol}: CP@100's ceiling", ceiling))
    return figures


def group_figures(answered: Answered, spec: Spec) -> list[Figure]:
    """Return the average precision without each group of features, prequential, one seed."""
    place = book.Result._fields.index("average_precision")
    whole = float(tested(answered, spec, seeds=1)[..., place].mean())
    figures = []
    for name, is_in_group in GROUPS.items():
        kept = tuple(
            feature
            for feature in FRAUD.features
            if feature in HANDBOOK.features or not (isinstance(feature, Window) and is_in_group(feature))
        )
        value = float(tested(narrowed(answered, FeatureSet(name, kept)), spec, seeds=1)[..., place].mean())
        dropped = len(FRAUD.features) - len(kept)
        key = f"without_{name.replace(' ', '_').replace(chr(39), '')}_average_precision"
        figures.append(Figure(key, f"average precision without {name} ({dropped})", value, whole, "with them"))
    return figures


def look_ahead_figures(made: Backfilled, payments: pl.DataFrame, labels: pl.DataFrame) -> list[Figure]:
    """Return how many vectors change when everything that came after their payment is removed; none may."""
    sample = np.random.default_rng(0).choice(len(made.payments), SAMPLE, replace=False)
    changed = 0
    for at in sample.tolist():
        own = made.payments.row(at, named=True)
        is_related = (pl.col("card_id") == own["card_id"]) | (pl.col("merchant_id") == own["merchant_id"])
        is_earlier = (pl.col("occurred_at") < own["occurred_at"]) | (
            (pl.col("occurred_at") == own["occurred_at"]) & (pl.col("offset") <= own["offset"])
        )
        known = labels.filter(pl.col("occurred_at") <= own["occurred_at"], is_related)
        history = payments.filter(is_related, is_earlier)
        again = backfilled(FRAUD, history, known, only=pl.Series([own["event_id"]]))
        changed += not np.array_equal(again.values[0], made.values[at])
    return [
        Figure("look_ahead_vectors", "vectors made again without the future", SAMPLE),
        Figure("look_ahead_changed", "  of these, changed", changed, 0, "no look-ahead", "0"),
    ]


if __name__ == "__main__":
    main()
