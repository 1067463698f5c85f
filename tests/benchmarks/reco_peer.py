"""implicit (github.com/benfred/implicit) asked for recommendations, in the environment of its own packages.

A child process: it fits a model to the shoppers of `shoppers`, then answers every line of its input, which says how many
shoppers to ask for, with a line of the microseconds that each took.
"""

import json
import sys
import time

import numpy as np
import numpy.typing as npt

K = 20
HISTORY = 50
SHOPPERS = 5_000
FACTORS = 64

Ints = npt.NDArray[np.int64]


def shoppers(items: int, *, count: int = SHOPPERS, seed: int = 0) -> Ints:
    """Return the items of each shopper, each once, few of them popular and most rare; shape (count, HISTORY)."""
    random = np.random.default_rng(seed)
    drawn = (items * random.random((count, HISTORY)) ** 3).astype(np.int64)
    return np.sort((drawn + np.arange(HISTORY) * (items // HISTORY)) % items, axis=1)


def main() -> None:
    kind, items = sys.argv[1], int(sys.argv[2])
    from implicit.cpu.als import AlternatingLeastSquares  # type: ignore[import-not-found]  # noqa: PLC0415 - not in the parent
    from implicit.nearest_neighbours import CosineRecommender  # type: ignore[import-not-found]  # noqa: PLC0415
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    rows = shoppers(items)
    offsets = np.arange(len(rows) + 1) * HISTORY
    bought = csr_matrix(
        (np.ones(rows.size, dtype=np.float32), rows.ravel(), offsets), shape=(len(rows), items), dtype=np.float32
    )
    if kind == "cosine":
        model = CosineRecommender(K=100, num_threads=1)
    else:
        model = AlternatingLeastSquares(factors=FACTORS, iterations=1, num_threads=1)
    model.fit(bought, show_progress=False)
    recalculated = {} if kind == "cosine" else {"recalculate_user": True}
    print("ready", flush=True)
    shopper = 0
    for line in sys.stdin:
        took = []
        for _ in range(int(line)):
            one = bought[shopper]
            started = time.perf_counter()
            model.recommend(shopper, one, N=K, filter_already_liked_items=True, **recalculated)
            took.append((time.perf_counter() - started) * 1e6)
            shopper = (shopper + 1) % len(rows)
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
