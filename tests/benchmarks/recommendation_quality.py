"""How well recommenders foretell what comes next: `make bench-reco HEADRACE_DATA=...`.

Every figure ranks all items outside a shopper's history; no sampled negatives, no shopper left out but those without
any history. Of equal scores the target's counts as the lowest. The platform's own search chooses components, parameters
and weights on validation targets alone. Published rows are other authors', on the same split unless their label says
otherwise.
"""

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from rich.console import Console

from services.training.recommendation.blending import ALTERNATIVES, Alternatives, chosen, learned
from services.training.recommendation.fitting import Vocabulary, fit
from services.training.recommendation.histories import Histories
from services.training.recommendation.plan import NearestNeighbours, NextItem, Plan, Transitions
from services.training.recommendation.ranking import Cases
from services.training.recommendation.recommender import Recommender
from shared.runtime.clock import SystemClock
from tests.benchmarks.recommendation_attack import attack_figures, pruning_figures
from tests.benchmarks.recommendation_data import (
    Split,
    amazon,
    data_folder,
    leave_last_out,
    movielens_1m,
    movielens_100k,
    timed,
)
from tests.benchmarks.recommendation_lists import accuracy, accuracy_of_ranks, variety
from tests.benchmarks.recommendation_ranks import ranks, top
from tests.benchmarks.report import Figure, publish

LIST_LENGTH = 10
COMPONENTS_MAX = 5
SEARCH_SECONDS = 120.0
SHOWN_USERS = 2_000
"""Lists that coverage, novelty and diversity are measured on."""
KNOWN_OF_NEW_SHOPPERS = (0, 1, 3)
SPARSE = (
    Alternatives(
        tuple(
            Transitions(decay, backward, row, column)
            for decay, backward, row, column in ((0.8, 0.6, 0.3, 0.2), (0.8, 0.6, 0.5, 0.5), (0.6, 0.8, 0.3, 0.1))
        ),
        ((0.5, 50, 0.0), (0.7, 50, 0.0), (0.9, 50, 0.0)),
    ),
    Alternatives((NearestNeighbours(10.0), NearestNeighbours(1.0)), ((0.8, 50, 0.0),)),
    Alternatives((NextItem(decay=0.8, l2=1.0, items_max=3_000),), ((0.8, 50, 0.0),)),
)
"""For sets with a handful of touches an item, where a regression on all of them learns little for its cost."""


class Published(NamedTuple):
    """Another author's HR@10 and NDCG@10, and the goals set for ours."""

    what: str
    hit_rate: float
    ndcg: float
    hit_rate_goal: str = ""
    ndcg_goal: str = ""


console = Console()


def main() -> None:
    folder = data_folder()
    if folder is None:
        return
    figures: list[Figure] = []
    for measured in (beauty_figures, sports_figures, million_figures, hundred_thousand_figures):
        for figure in measured(folder):
            console.print(f"{figure.label}: {figure.ours:.4f}")
            figures.append(figure)
    publish("reco", "recommendation: full ranking, chosen on validation alone", figures)


def beauty_figures(folder: Path) -> Iterator[Figure]:
    published = Published("S3-Rec", 0.0647, 0.0327, ">= .085", ">= .050")
    split = amazon(folder, "amazon-beauty", "Beauty.txt")
    yield from last_figures("beauty", split, SPARSE, published)


def sports_figures(folder: Path) -> Iterator[Figure]:
    published = Published("S3-Rec", 0.0385, 0.0204, ">= .045", ">= .027")
    split = amazon(folder, "amazon-sports", "Sports_and_Outdoors.txt")
    yield from last_figures("sports", split, SPARSE, published)


def million_figures(folder: Path) -> Iterator[Figure]:
    published = Published("RecTools SASRec, which saw the item before the target", 0.3058, 0.1779, ">= .25")
    split = movielens_1m(folder)
    plan = yield from last_figures("ml_1m", split, ALTERNATIVES, published)
    yield from pruning_figures("ml_1m", split, plan, vocabulary(split.known))


def hundred_thousand_figures(folder: Path) -> Iterator[Figure]:
    rows = movielens_100k(folder)
    sequences = [own["item"].to_numpy() for own in rows.partition_by("user", maintain_order=True)]
    split = leave_last_out(sequences, "leave-last-out, all items outside the history ranked")
    plan = yield from last_figures("ml_100k", split, ALTERNATIVES, None)
    yield from attack_figures("ml_100k", split, plan, vocabulary)
    yield from by_time_figures(rows)


def vocabulary(histories: Histories) -> Vocabulary:
    """Return one that knows nothing of items or users."""
    return Vocabulary(tuple(map(str, range(histories.item_count))), (), (), None, {"view": 1.0})


def last_figures(
    key: str, split: Split, alternatives: tuple[Alternatives, ...], published: Published | None
) -> Generator[Figure, None, Plan]:
    """Yield the figures of leave-last-out; return the plan that was chosen."""
    started = time.perf_counter()
    with console.status(f"{key}: choosing on {len(split.validation.cases.targets)} validation targets"):
        plan = chosen(split.validation, vocabulary(split.known), alternatives, components_max=COMPONENTS_MAX)
    yield Figure(f"{key}_search_seconds", f"{key}: search seconds", time.perf_counter() - started)
    with console.status(f"{key}: fitting and ranking {len(split.cases.targets)} test targets"):
        recommender = fit(split.known, plan, vocabulary(split.known))
        found = accuracy_of_ranks(ranks(recommender, split.whole, split.cases), LIST_LENGTH)
        yield from stage_figures(key, recommender, split)
        yield from variety_figures(key, recommender, split.known, split.cases, split.whole)
        yield from new_shopper_figures(key, recommender, split)
    for name, ours in found._asdict().items():
        if name == "recall":
            continue
        theirs = None if published is None else getattr(published, name, None)
        what = "" if theirs is None or published is None else f"published, {published.what}"
        goal = "" if published is None else getattr(published, f"{name}_goal", "")
        yield Figure(f"{key}_{name}_10", f"{key}: {name}@10; {split.protocol}", ours, theirs, what, goal)
    return plan


def stage_figures(key: str, recommender: Recommender, split: Split) -> Iterator[Figure]:
    """Yield the NDCG of popularity, then with one component after the other."""
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(len(split.cases.targets), min(len(split.cases.targets), SHOWN_USERS), replace=False))
    weight = recommender.popularity_weight or 1.0
    for count in range(len(recommender.components) + 1):
        stage = replace(recommender, components=recommender.components[:count], popularity_weight=weight)
        if count:
            stage = replace(stage, popularity_weight=recommender.popularity_weight)
        found = accuracy_of_ranks(ranks(stage, split.whole, split.cases.part(some)), LIST_LENGTH)
        name = f"+ {recommender.components[count - 1].name}" if count else "popularity alone"
        yield Figure(f"{key}_stage_{count}_ndcg_10", f"{key}: ndcg@10 of {len(some)} users, {name}", found.ndcg)


def new_shopper_figures(key: str, recommender: Recommender, split: Split) -> Iterator[Figure]:
    """Yield the hit rate where only the last few touches of a shopper are known: none at all, one, some."""
    cases = split.cases
    for known in KNOWN_OF_NEW_SHOPPERS:
        cut = cases._replace(begins=np.maximum(cases.begins, cases.ends - known))
        found = accuracy_of_ranks(ranks(recommender, split.whole, cut), LIST_LENGTH)
        label = f"{key}: hit_rate@10 of shoppers of whom the last {known} touches are known"
        yield Figure(f"{key}_known_{known}_hit_rate_10", label, found.hit_rate)


def variety_figures(
    key: str, recommender: Recommender, known: Histories, cases: Cases, whole: Histories
) -> Iterator[Figure]:
    some = cases.part(slice(0, SHOWN_USERS))
    shown = variety(top(recommender, whole, some, LIST_LENGTH), known)
    users = len(some.targets)
    yield Figure(f"{key}_coverage_10", f"{key}: coverage@10, share of items shown to {users} users", shown.coverage)
    yield Figure(f"{key}_novelty_bits", f"{key}: novelty@10, mean self-information, bits", shown.novelty)
    yield Figure(
        f"{key}_diversity_10", f"{key}: diversity@10, 1 - mean cosine of who touched two items", shown.diversity
    )


def by_time_figures(rows: pl.DataFrame) -> Iterator[Figure]:
    """Yield the figures of the last tenth of MovieLens-100K by time, chosen and fitted on what came before."""
    whole = timed(rows)
    cut = int(np.quantile(whole.times, 0.9))
    known = whole.before(cut)
    clock = SystemClock()
    with console.status("ml_100k by time: choosing and fitting"):
        plan: Plan = learned(
            known, vocabulary(known), seconds_max=SEARCH_SECONDS, monotonic_seconds=clock.monotonic_seconds
        )
        recommender = fit(known, plan, vocabulary(known))
    later = whole.only(whole.times >= cut)
    users = np.flatnonzero((known.lengths > 0) & (later.lengths > 0))
    ends = known.offsets[users + 1]
    nothing = np.zeros(len(users), dtype=np.int64)
    lists = top(recommender, known, Cases(known.offsets[users], ends, nothing, nothing), LIST_LENGTH)
    touched = [later.items[later.offsets[user] : later.offsets[user + 1]].astype(np.int64) for user in users]
    new = int(((known.lengths == 0) & (later.lengths > 0)).sum())
    protocol = f"last 10 % by time, {len(users)} users with a history, {new} without left out; ideal covers all targets"
    popular = replace(recommender, components=(), popularity_weight=1.0)
    floor = top(popular, known, Cases(known.offsets[users], ends, nothing, nothing), LIST_LENGTH)
    beside = accuracy(floor, touched)
    for name, ours in accuracy(lists, touched)._asdict().items():
        label = f"ml_100k: {name}@10; {protocol}"
        yield Figure(f"ml_100k_by_time_{name}_10", label, ours, getattr(beside, name), "popularity, same run")


if __name__ == "__main__":
    main()
