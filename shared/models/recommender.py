"""A recommendation model in memory: a shopper's history in, the best items and what they owe to it out."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.features.state import identity
from shared.models.manifest import RecommendationManifest, RecommendationProbe
from shared.models.recommender_contributions import add_contributions
from shared.models.recommender_graph import POPULARITY, GraphComponent, read
from shared.models.session import TROUBLES, opened

PROBE_BOUND = 1e-5
"""By how much a probe's score may differ, as a share of its largest: processors round and add up differently."""

Positions = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Top(NamedTuple):
    """The best items.

    items: positions, best first, of equal scores the lower first; shape (k,), or fewer where fewer may be shown.
    scores: theirs, likewise.
    """

    items: Positions
    scores: npt.NDArray[np.float32]


class Contributions(NamedTuple):
    """What scores are made of; the sum of a row and of its popularity is the score.

    history: what each item of the history adds to each target, shape (targets, L); 0 for those that are too old to
        count. popularity: what the target's own popularity adds, shape (targets,).
    """

    history: npt.NDArray[np.float32]
    popularity: npt.NDArray[np.float32]


class RecommenderModel:
    """A loaded, checked and warmed model; safe to use from several threads.

    A history is given as positions and weights, the latest first: `positions_of`, and
    `shared.recommendation.history.item_weights` by `kind_weights` and `half_life_seconds`. Items that the model does
    not know are left out by the caller, and so is what weighs nothing.
    """

    def __init__(self, manifest: RecommendationManifest, onnx: bytes) -> None:
        """Load `onnx`, whose bytes are not needed afterwards, and answer the manifest's probes.

        Raises:
            ValueError: the graph is no recommender's, cannot be run, or answers a probe otherwise than where it was
                made.
        """
        self.manifest = manifest
        outline, self._tables, metadata = read(onnx)
        self.item_ids = tuple(metadata.item_ids)
        self.segments = tuple(metadata.segments)
        self.segment_attribute = metadata.segment_attribute
        self.kind_weights = metadata.kind_weights
        self.half_life_seconds = metadata.half_life_seconds
        self._components = metadata.components
        self._popularity_weight = np.float32(metadata.popularity_weight)
        self.history_max = max((component.length for component in metadata.components), default=0)
        self._positions = {item_id: position for position, item_id in enumerate(self.item_ids)}
        hashes = np.fromiter(map(identity, self.item_ids), dtype=np.int64, count=len(self.item_ids))
        self._by_hash = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._by_hash]
        try:
            self._session = opened(outline, self._tables)
            self._warm()
        except TROUBLES as error:
            raise ValueError(f"the graph does not turn histories into items: {error}") from error
        for number, probe in enumerate(manifest.probes, start=1):
            self._check_probe(f"probe {number} of {len(manifest.probes)}", probe)

    def position(self, item_id: str) -> int | None:
        """Return an item's position; None where the model does not know it."""
        return self._positions.get(item_id)

    def positions_of(self, hashes: Positions) -> Positions:
        """Return the positions of items by the hashes of their ids, as in a history; -1 where the model has none.

        hashes: as by `shared.features.state.identity`, shape (n,). Returns shape (n,).
        """
        found = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        positions: Positions = np.where(self._hashes[found] == hashes, self._by_hash[found], -1)
        return positions

    def recommend(
        self, items: Positions, weights: Weights, mask: Mask, *, k: int, segment: int = 0, popularity: float = 1.0
    ) -> Top:
        """Return the best `k` items that `mask` allows; fewer where it allows fewer.

        items, weights: the history, shape (L,), where L may be 0; what is older than `history_max` does not count.
        mask: shape (items,), true for what may be shown. segment: position in `segments` + 1, 0 for everyone.
        popularity: what popularity counts, as a share of what it was trained to count.

        Raises:
            ValueError: a position of the history is none, as -1 of an unknown item; or there is no such segment.
        """
        self._check(items, segment)
        scores, top = self._session.run(
            ["scores", "top"],
            {
                "items": items[: self.history_max],
                "weights": weights[: self.history_max],
                "mask": mask,
                "segment": np.array([segment]),
                "popularity": np.array([popularity], dtype=np.float32),
                "k": np.array([min(k, len(self.item_ids))]),
            },
        )
        shown = len(scores) if not len(scores) or scores[-1] > -np.inf else int(np.count_nonzero(scores > -np.inf))
        return Top(top[:shown], scores[:shown])

    def contributions(
        self, items: Positions, weights: Weights, targets: Positions, *, segment: int = 0, popularity: float = 1.0
    ) -> Contributions:
        """Return what the scores of `targets` are made of, where `recommend` was asked the same.

        targets: positions, each once, shape (targets,).

        Raises:
            ValueError: as `recommend`.
        """
        self._check(items, segment)
        added = np.zeros((len(targets), len(items)))
        items, targets = np.ascontiguousarray(items), np.ascontiguousarray(targets)  # what the kernel is compiled for
        for component in self._components:
            neighbours, strengths = self._tables[component.neighbours], self._tables[component.strengths]
            shares = _shares(component, weights)
            add_contributions(neighbours, strengths, items, shares, targets, added)
        own = self._tables[POPULARITY][segment, targets] * (np.float32(popularity) * self._popularity_weight)
        return Contributions(added.astype(np.float32), own)

    def _check(self, items: Positions, segment: int) -> None:
        if len(items) and not 0 <= items.min() <= items.max() < len(self.item_ids):
            raise ValueError(
                f"a history's positions must be 0 to {len(self.item_ids) - 1}, and one is {items.min()} or "
                f"{items.max()}: leave out items that the model does not know"
            )
        if not 0 <= segment <= len(self.segments):
            raise ValueError(f"segment must be 0 to {len(self.segments)}, not {segment}")

    def _warm(self) -> None:
        """Run everything once: the first run is the slowest."""
        items, weights = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.float32)
        top = self.recommend(items, weights, np.ones(len(self.item_ids), dtype=np.bool_), k=1)
        self.contributions(items, weights, top.items)

    def _check_probe(self, told: str, probe: RecommendationProbe) -> None:
        everything = np.ones(len(self.item_ids), dtype=np.bool_)
        items, weights = np.array(probe.items, dtype=np.int64), np.array(probe.weights, dtype=np.float32)
        # One more than was noted, to see whether the last of them ties with it.
        found = self.recommend(items, weights, everything, k=len(probe.top) + 1, segment=probe.segment)
        if not _is_alike(found, probe):
            ours, theirs = (", ".join(f"{score:.9g}" for score in each[:3]) for each in (found.scores, probe.scores))
            raise ValueError(
                f"{told} is answered with the items {found.items[:3].tolist()} at {ours} here, and was with "
                f"{probe.top[:3]} at {theirs} where the model was made; install the onnxruntime that training has, "
                "or train again"
            )


def _is_alike(found: Top, probe: RecommendationProbe) -> bool:
    """Tell whether an answer is the probe's, but for rounding: of nearly equal scores either may come first."""
    count = len(probe.top)
    if len(found.items) < count:
        return False
    expected = np.array(probe.scores, dtype=np.float32)
    allowed = PROBE_BOUND * float(np.abs(expected).max(initial=0.0))
    gaps = np.concatenate([[np.inf], -np.diff(found.scores), [np.inf]])
    is_alone = (np.minimum(gaps[:-1], gaps[1:]) > 2 * allowed)[:count]
    is_close = np.abs(found.scores[:count] - expected) <= allowed
    return bool(is_close.all() and (~is_alone | (found.items[:count] == probe.top)).all())


def _shares(component: GraphComponent, weights: Weights) -> npt.NDArray[np.float64]:
    """Return weight_c * a_ck of the formula."""
    counted = weights[: component.length].astype(np.float64)
    decayed = counted * component.decay ** np.arange(len(counted))
    total = decayed.sum()
    shares: npt.NDArray[np.float64] = component.weight * (decayed / total**component.norm if total > 0 else decayed)
    return shares
