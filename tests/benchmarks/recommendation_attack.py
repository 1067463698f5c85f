"""What pruning to the strongest neighbours costs, and what an attack by fake shoppers gains, with trust and without."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from services.training.recommendation.fitting import Vocabulary, fit
from services.training.recommendation.histories import Histories, counted
from services.training.recommendation.plan import Plan
from services.training.recommendation.recommender import Neighbours, Recommender
from tests.benchmarks.recommendation_data import Split
from tests.benchmarks.recommendation_lists import accuracy_of_ranks
from tests.benchmarks.recommendation_ranks import ranks, top
from tests.benchmarks.report import Figure
from tests.sequences import histories_of

LIST_LENGTH = 10
WIDTHS = (20, 50, 100, 200)
TARGETS = 10
"""Items that the attack pushes: drawn among the less popular half."""
FAKES_SHARE = 0.03
"""Fake shoppers, for each real one."""
COVER_TOUCHES, TARGET_TOUCHES = 20, 10
TRUSTS = (1.0, 0.05)
SEED = 0


def pruning_figures(key: str, split: Split, plan: Plan, vocabulary: Vocabulary) -> Iterator[Figure]:
    """Yield the hit rate with fewer and fewer neighbours an item, all of one fit, beside that with all."""
    items = split.known.item_count
    whole = fit(split.known, _with_width(plan, items), vocabulary)
    beside = accuracy_of_ranks(ranks(whole, split.whole, split.cases), LIST_LENGTH).hit_rate
    for width in WIDTHS:
        narrow = replace(
            whole,
            components=tuple(replace(each, neighbours=cut(each.neighbours, width)) for each in whole.components),
        )
        found = accuracy_of_ranks(ranks(narrow, split.whole, split.cases), LIST_LENGTH).hit_rate
        label = f"{key}: hit_rate@10 with the {width} strongest neighbours of an item"
        yield Figure(f"{key}_width_{width}_hit_rate_10", label, found, beside, f"all {items}")


def cut(neighbours: Neighbours, width: int) -> Neighbours:
    """Return only the strongest of each item's neighbours."""
    kept = np.argpartition(-np.abs(neighbours.strengths), width - 1, axis=1)[:, :width]
    return Neighbours(
        np.take_along_axis(neighbours.items, kept, axis=1), np.take_along_axis(neighbours.strengths, kept, axis=1)
    )


def attack_figures(
    key: str, split: Split, plan: Plan, vocabulary: Callable[[Histories], Vocabulary]
) -> Iterator[Figure]:
    """Yield the share of real shoppers' lists that hold a pushed item.

    Each fake shopper views popular items, so as to look like everybody, and the pushed ones between them.
    """
    rng = np.random.default_rng(SEED)
    counts = counted(split.known)
    pushed = rng.choice(np.argsort(counts, kind="stable")[: split.known.item_count // 2], TARGETS, replace=False)
    clean = _exposure(fit(split.known, plan, vocabulary(split.known)), split, pushed)
    fakes = int(FAKES_SHARE * split.known.user_count)
    yield Figure(f"{key}_attack_none_exposure", f"{key}: lists with one of {TARGETS} chosen items, no attack", clean)
    for trust in TRUSTS:
        poisoned = with_fakes(split.known, pushed, fakes=fakes, trust=trust)
        found = _exposure(fit(poisoned, plan, vocabulary(poisoned)), split, pushed)
        label = f"{key}: the same, {fakes} fake shoppers push them, each of their views counts {trust:g}"
        yield Figure(f"{key}_attack_trust_{trust:g}_exposure", label, found, clean, "no attack")


def with_fakes(histories: Histories, pushed: np.ndarray, *, fakes: int, trust: float) -> Histories:
    """Return the histories and after them those of fake shoppers, whose views count `trust`."""
    rng = np.random.default_rng(SEED)
    counts = counted(histories)
    sequences = []
    for _ in range(fakes):
        cover = rng.choice(histories.item_count, COVER_TOUCHES, replace=False, p=counts / counts.sum())
        own = np.concatenate([cover, rng.choice(pushed, TARGET_TOUCHES, replace=False)])
        sequences.append(rng.permutation(own))
    theirs = histories_of(sequences, histories.item_count)
    return Histories(
        np.concatenate([histories.offsets, histories.offsets[-1] + theirs.offsets[1:]]),
        np.concatenate([histories.items, theirs.items]),
        np.concatenate([histories.weights, np.float32(trust) * theirs.weights]),
        np.concatenate([histories.times, theirs.times]),
        histories.item_count,
        np.concatenate([histories.segments, theirs.segments]),
    )


def _with_width(plan: Plan, width: int) -> Plan:
    return Plan(plan.components, plan.popularity_weight, plan.popularity_half_life_seconds, width)


def _exposure(recommender: Recommender, split: Split, pushed: np.ndarray) -> float:
    lists = top(recommender, split.whole, split.cases, LIST_LENGTH)
    return float(np.isin(lists, pushed).any(axis=1).mean())
