"""The export gate: the ONNX graph must recommend what the recommender does, above all where graphs go wrong.

Known to go wrong: no history at all, one longer than counts, an item that stands in it twice, weights that float32
cannot divide, a mask that leaves fewer than were asked for, and the rows of segments. So graph and recommender are
compared on held-out histories, and on what becomes of them when changed in these ways.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.recommendation.recommender import Recommender, Scores, scores_of
from services.training.refusal import RefusedError
from shared.models.manifest import RecommendationProbe
from shared.models.recommender import Mask, Positions, RecommenderModel, Top, Weights

BOUND = 1e-5
"""Largest difference of two scores that is rounding, as a share of the largest that the history gives any item."""
SHOWN = 20
"""How many items are compared."""
HISTORIES_MAX = 200
PROBES = 16
"""How many held-out histories a manifest carries to be answered again wherever the model is loaded."""

_SEED = 0


class HeldOut(NamedTuple):
    """A history that was held out.

    items, weights: positions and what they count, the latest first, shape (n,). segment: 0 for everyone.
    """

    items: Positions
    weights: Weights
    segment: int = 0


class _Question(NamedTuple):
    """What is asked of both; told: what kind of history it is, for people."""

    told: str
    history: HeldOut
    mask: Mask
    popularity: float = 1.0


def check_export(
    model: RecommenderModel, recommender: Recommender, held_out: Sequence[HeldOut], *, bound: float = BOUND
) -> float:
    """Return the largest difference found between the scores of `model` and of `recommender`, which is within `bound`.

    Raises:
        RefusedError: beyond it, or other items, or in another order; the message names what differs.
    """
    if model.item_ids != recommender.item_ids:
        raise RefusedError("export_gate", "the ONNX graph has other items than the recommender; export it again")
    worst = 0.0
    for question in _questions(recommender, held_out[:HISTORIES_MAX]):
        items, weights, segment = question.history
        top = model.recommend(items, weights, question.mask, k=SHOWN, segment=segment, popularity=question.popularity)
        expected = _expected(recommender, question)
        difference = _difference(top, expected)
        wrong = _wrong(top, expected, question.mask, recommender.item_ids, bound=bound)
        if wrong is not None or not difference <= bound:
            told = wrong or f"scores differ by {difference:.2g} of the largest one"
            raise RefusedError(
                "export_gate",
                f"the ONNX graph differs from the recommender on {question.told}: {told} (bound {bound:g}); it was not "
                "registered: train other components",
            )
        worst = max(worst, difference)
    return worst


def probes_of(model: RecommenderModel, held_out: Sequence[HeldOut]) -> list[RecommendationProbe]:
    """Return PROBES histories with the items that `model` recommends for each; the first history is empty."""
    everything = np.ones(len(model.item_ids), dtype=np.bool_)
    taken = np.linspace(0, len(held_out) - 1, min(PROBES - 1, len(held_out))).astype(np.intp)
    nothing = HeldOut(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    probes = []
    for history in (nothing, *(held_out[at] for at in taken)):
        items, weights = history.items[: model.history_max], history.weights[: model.history_max]
        top = model.recommend(items, weights, everything, k=SHOWN, segment=history.segment)
        probes.append(
            RecommendationProbe(
                items=items.tolist(),
                weights=weights.tolist(),
                segment=history.segment,
                top=top.items.tolist(),
                scores=top.scores.tolist(),
            )
        )
    return probes


def _questions(recommender: Recommender, held_out: Sequence[HeldOut]) -> Iterator[_Question]:
    random = np.random.default_rng(_SEED)
    count = len(recommender.item_ids)
    everything = np.ones(count, dtype=np.bool_)
    for history in held_out:
        yield _Question("a held-out history", history, everything)
        yield _Question("a held-out history, half of the items hidden", history, random.random(count) < 0.5)
    made = [(told, HeldOut(*history)) for told, history in _made(held_out, recommender.history_max, count)]
    for told, history in made:
        for segment in range(len(recommender.segments) + 1):
            in_segment = f"{told}, segment {segment}"
            yield _Question(in_segment, history._replace(segment=segment), everything)
            yield _Question(f"{in_segment}, popularity halved", history._replace(segment=segment), everything, 0.5)
    for told, history in made:
        yield _Question(f"{told}, without popularity", history, everything, 0.0)
        for left in (0, 1, SHOWN - 1):
            mask = np.zeros(count, dtype=np.bool_)
            mask[random.permutation(count)[:left]] = True
            yield _Question(f"{told}, {left} items left", history, mask)


def _made(held_out: Sequence[HeldOut], history_max: int, count: int) -> Iterator[tuple[str, tuple[Positions, Weights]]]:
    """Yield histories that are rare."""
    found = [history.items for history in held_out if len(history.items)] or [np.arange(count)]
    items = np.resize(np.concatenate(found), 3 * max(1, history_max)).astype(np.int64)
    ones = np.ones(len(items), dtype=np.float32)
    yield "no history", (items[:0], ones[:0])
    yield "one interaction", (items[:1], ones[:1])
    yield "a history longer than counts", (items, ones)
    yield "one item again and again", (np.repeat(items[:1], history_max), ones[:history_max])
    yield "weights of 0", (items, 0 * ones)
    yield "tiny weights", (items, np.float32(1e-20) * ones)
    yield "huge weights", (items, np.float32(1e20) * ones)
    yield "weights of all sizes", (items, np.geomspace(1e-20, 1e20, len(items)).astype(np.float32))


def _expected(recommender: Recommender, question: _Question) -> Scores:
    weighed = replace(recommender, popularity_weight=recommender.popularity_weight * question.popularity)
    items, weights, segment = question.history
    return scores_of(weighed, items, weights.astype(np.float64), segment=segment)


def _difference(top: Top, expected: Scores) -> float:
    """Return the largest difference of two scores, as a share of the largest score that the history gives any item."""
    differences = np.abs(top.scores - expected[top.items])
    return float(differences.max(initial=0.0) / _largest(expected))


def _largest(expected: Scores) -> float:
    """Return the largest score, not 0."""
    # Terms that cancel leave rounding of their own size, so a score near 0 is not the measure.
    return max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))


def _wrong(top: Top, expected: Scores, mask: Mask, item_ids: Sequence[str], *, bound: float) -> str | None:
    """Return what is wrong with the choice or its order, as a phrase."""
    wanted = min(SHOWN, int(np.count_nonzero(mask)))
    if len(top.items) != wanted:
        return f"{len(top.items)} items instead of {wanted}"
    if len(np.unique(top.items)) < wanted or not mask[top.items].all():
        return "items that are hidden, or shown twice"
    tie = 2 * bound * _largest(expected)
    theirs = expected[top.items]
    if (np.diff(theirs) > tie).any():
        return f"{item_ids[top.items[np.argmax(np.diff(theirs))]]} stands before a better one"
    rest: npt.NDArray[np.bool_] = mask.copy()
    rest[top.items] = False
    if wanted and rest.any() and expected[rest].max() > theirs.min() + tie:
        missing = np.flatnonzero(rest)[np.argmax(expected[rest])]
        return f"{item_ids[missing]} is missing, which scores {expected[missing]:.7g}"
    return None
