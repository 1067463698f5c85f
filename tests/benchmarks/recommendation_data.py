"""Histories of the public data sets that recommenders are measured on, and their splits.

Leave-last-out: a user's last item is the test target, the last but one the validation target. Weights and parameters
are chosen on the validation targets with tables fitted on what comes before them; then everything but the test targets
is fitted anew. Nothing of a test target is seen before it is ranked.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from services.training.recommendation.blending import HeldOut
from services.training.recommendation.histories import Histories
from services.training.recommendation.ranking import Cases
from tests.benchmarks.recommendation_ranks import last_touches
from tests.sequences import histories_of

Sequences = list[npt.NDArray[np.int64]]

CASES_MAX = 6_000
"""Validation cases; of more as many are drawn."""
SEED = 0


class Split(NamedTuple):
    """validation: what the plan is chosen on. known: what is fitted for the test. whole: with the test targets.

    protocol: said beside each number.
    """

    validation: HeldOut
    known: Histories
    whole: Histories
    cases: Cases
    protocol: str


def data_folder() -> Path | None:
    """Return the folder of data sets, or None and say why there is nothing to do."""
    folder = os.environ.get("HEADRACE_DATA")
    if folder and (Path(folder) / "movielens-1m").is_dir():
        return Path(folder)
    print("skipped: set HEADRACE_DATA to a folder with movielens-100k, movielens-1m, amazon-beauty and amazon-sports")
    return None


def amazon(folder: Path, name: str, file: str) -> Split:
    """Return one of the Amazon 5-core sets: a user a line, then his items in order."""
    lines = (folder / name / file).read_text().splitlines()
    sequences = [np.array(line.split()[1:], dtype=np.int64) - 1 for line in lines]
    return leave_last_out(sequences, "leave-one-out, all items outside the history ranked")


def movielens_100k(folder: Path) -> pl.DataFrame:
    """Return user, item and microseconds, in order of time; ratings of any value are touches."""
    rows = pl.read_csv(
        folder / "movielens-100k" / "ml-100k.inter", separator="\t", new_columns=["user", "item", "rating", "seconds"]
    ).with_row_index("row")
    ordered = rows.sort("seconds", "row")
    return ordered.select(
        user=pl.col("user").rank("dense").cast(pl.Int64) - 1,
        item=pl.col("item").rank("dense").cast(pl.Int64) - 1,
        time=pl.col("seconds").cast(pl.Int64) * 10**6,
    )


def timed(rows: pl.DataFrame) -> Histories:
    """Return the histories of such rows."""
    ordered = rows.sort("user", maintain_order=True)
    users = int(rows["user"].max()) + 1  # type: ignore[arg-type]
    return Histories(
        offsets=np.searchsorted(ordered["user"].to_numpy(), np.arange(users + 1)).astype(np.int64),
        items=ordered["item"].to_numpy().astype(np.int32),
        weights=np.ones(len(ordered), dtype=np.float32),
        times=ordered["time"].to_numpy(),
        item_count=int(rows["item"].max()) + 1,  # type: ignore[arg-type]
        segments=np.zeros(users, dtype=np.int32),
    )


def movielens_1m(folder: Path) -> Split:
    """Return the set whose copy lacks the item before the test target, but for the 512 users of its validation part.

    So validation leaves out the item before its target too.
    """
    train, more, then, last = (
        [
            np.array(line.split(), dtype=np.int64) - 1
            for line in (folder / "movielens-1m" / part).read_text().splitlines()
        ]
        for part in ("train/input.txt", "val/input.txt", "val/output.txt", "test/output.txt")
    )
    longer = {tuple(own[:-1]): np.concatenate([own, target]) for own, target in zip(more, then, strict=True)}
    known = [longer.get(tuple(own), own) for own in train]
    sequences = [np.concatenate(pair) for pair in zip(known, last, strict=True)]
    return leave_last_out(sequences, "leave-last-out, all items outside the history ranked", skip=1)


def leave_last_out(sequences: Sequences, protocol: str, *, skip: int = 0) -> Split:
    """Return the split; skip: so many items before a validation target are left out of its history."""
    items = 1 + max(int(own.max()) for own in sequences)
    known = histories_of([own[:-1] for own in sequences], items)
    earlier = histories_of([own[: -2 - skip] for own in sequences], items)
    whole = histories_of(sequences, items)
    targets = last_touches(known, skip=skip)
    count = len(targets.targets)
    drawn = np.sort(np.random.default_rng(SEED).choice(count, min(count, CASES_MAX), replace=False))
    return Split(HeldOut(earlier, known, targets.part(drawn)), known, whole, last_touches(whole), protocol)
