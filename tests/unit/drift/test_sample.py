import numpy as np

from services.drift.data.sample import Sample


def numbered(first: int, last: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.arange(first, last, dtype=np.float32)[:, None]


def test_every_row_is_as_likely_to_be_kept() -> None:
    kept = np.zeros(100)
    for seed in range(300):
        sample = Sample(20, 1, seed=seed)
        for first in range(0, 100, 10):
            sample.add(numbered(first, first + 10))
        assert sample.rows.shape == (20, 1)
        assert sample.seen == 100
        kept[sample.rows[:, 0].astype(int)] += 1
    # 60 expected of each row, with a standard deviation of 7.
    assert kept.min() > 60 - 4 * 7
    assert kept.max() < 60 + 4 * 7


def test_samples_are_poured_together_by_what_they_have_seen() -> None:
    from_large = []
    for seed in range(200):
        large, small = Sample(20, 1, seed=seed), Sample(20, 1, seed=seed + 1000)
        large.add(numbered(0, 300))
        small.add(numbered(300, 400))
        large.pour(small)
        assert large.seen == 400
        assert len(large.rows) == 20
        from_large.append(float((large.rows < 300).mean()))
    assert 0.72 < np.mean(from_large) < 0.78


def test_a_sample_of_few_holds_them_all() -> None:
    sample = Sample(20, 1, seed=0)
    sample.add(numbered(0, 7))
    assert sorted(sample.rows[:, 0].tolist()) == [0, 1, 2, 3, 4, 5, 6]
