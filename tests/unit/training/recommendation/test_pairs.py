"""Sums over pairs of touches against two plain loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.training.recommendation.pairs import Pairing, PairSums
from tests.sequences import histories_of

ITEMS = 5
SEQUENCES = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=7), min_size=1, max_size=4)


@given(SEQUENCES, st.integers(1, 8), st.integers(0, 2**31))
def test_sums_are_those_of_every_pair_in_reach(sequences: list[list[int]], reach: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    histories = histories_of([np.array(own, dtype=np.int64) for own in sequences], ITEMS)
    left, right = rng.random(len(histories.items)), rng.random(len(histories.items))
    forward, backward = rng.random(reach), rng.random(reach)
    expected = np.zeros((ITEMS, ITEMS))
    for begin, end in zip(histories.offsets[:-1], histories.offsets[1:], strict=True):
        for p in range(begin, end):
            for q in range(p, min(end, p + reach)):
                both = left[p] * right[q]
                expected[histories.items[p], histories.items[q]] += both * forward[q - p]
                if q > p:
                    expected[histories.items[q], histories.items[p]] += both * backward[q - p]
    sums = PairSums(histories, Pairing(left, right, forward, backward))
    np.testing.assert_allclose(np.concatenate([table.toarray() for _, table in sums.blocks()]), expected, atol=1e-12)
    some, others = np.array([3, 1]), np.array([0, 4, 1])
    np.testing.assert_allclose(sums.table(some, others), expected[np.ix_(some, others)], atol=1e-12)
