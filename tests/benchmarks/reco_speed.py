"""`GET /v1/recommendations/{user_id}` on the running platform, and what stands around it: `make bench-reco-speed`.

The floor, in the same run: a bare ASGI answer, one read of Redis and one run of the graph, added up. Beside it what
`implicit` takes for its own recommend call, without a server. Ours shares the machine with Kafka, Redis, the other
services and the load.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import httpx
import numpy as np
from rich.progress import track

from services.local.supervisor import Supervisor
from shared.models.manifest import RecommendationManifest
from shared.models.recommender import RecommenderModel
from shared.recommendation.history import history_key, history_of, profile_key
from shared.store.redis import RedisStore
from tests.benchmarks.reco_graph import graph_figures
from tests.benchmarks.reco_training import training_figures
from tests.benchmarks.report import Figure, publish
from tests.benchmarks.scoring import Target, bare, measure, nothing_follows
from tests.benchmarks.scoring_figures import CALLERS, Run
from tests.benchmarks.served_recommender import (
    SERVICE,
    ServedRecommender,
    served_recommender,
    user_name,
)

USERS = 1_000_000
ITEMS = (10_000, 100_000)
ROUNDS = 3
REQUESTS = {1: 3_000, 16: 10_000}
WARMING_REQUESTS = 500
PART_CALLS = 1_000
K = 50
CLICKS = 300
ASKED_AGAIN_SECONDS = 0.001
CHANGE_SECONDS_MAX = 5.0
_GOALS = {("p50_ms", 1): "1.5", ("p99_ms", 1): "5", ("per_second", 16): "800 a core"}
_LABELS = {
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "per_second": "answers a second",
    "cpu_us": "CPU us an answer",
    "resident_mb": "MB resident",
    "failed": "failed",
}


def main() -> None:
    """Run and publish."""
    publish("reco-speed", "recommendations over REST", [*served_figures(), *graph_figures(), *training_figures()])


def served_figures() -> list[Figure]:
    """Return what the running platform takes, with each size of catalogue."""
    with ExitStack() as exits:
        served = exits.enter_context(served_recommender(users=USERS))
        supervisor = Supervisor()
        exits.callback(supervisor.stop)
        floor = bare(supervisor, served.requests, Path(exits.enter_context(tempfile.TemporaryDirectory())))
        figures = [figure for items in ITEMS for figure in _with_catalogue(served, floor, items)]
        return [*figures, *_click_figures(served)]


def _with_catalogue(served: ServedRecommender, floor: Target, items: int) -> list[Figure]:
    manifest, onnx = served.put_into_service(items)
    served.write_histories(items)
    ours = Target("ours", served.platform.service(SERVICE).pid, served.port, served.requests, nothing_follows)
    runs: dict[tuple[str, int], list[Run]] = {}
    measure(ours, CALLERS[-1], WARMING_REQUESTS)
    for _ in track(range(ROUNDS), f"{items:,} items: ours and the floor in turn"):
        for callers, target in itertools.product(CALLERS, (ours, floor)):
            runs.setdefault((target.key, callers), []).append(measure(target, callers, REQUESTS[callers]))
    parts_ms = _parts_ms(served, manifest, onnx)
    return [
        _figure(f"{items:,} items, {callers} callers", field, callers, runs, parts_ms)
        for callers, field in itertools.product(CALLERS, _LABELS)
    ]


def _figure(
    what: str, field: str, callers: int, runs: dict[tuple[str, int], list[Run]], parts_ms: dict[str, float]
) -> Figure:
    ours, floor = (median(getattr(run, field) for run in runs[key, callers]) for key in ("ours", "bare"))
    beside = "bare ASGI"
    if (field, callers) == ("p50_ms", 1):
        floor += sum(parts_ms.values())
        beside += "".join(f" + {name} {took_ms:.2f}" for name, took_ms in parts_ms.items())
    key = f"{what}_{field}".replace(" ", "_").replace(",", "")
    return Figure(key, f"{what}: {_LABELS[field]}", ours, floor, beside, _GOALS.get((field, callers), ""))


def _parts_ms(served: ServedRecommender, manifest: RecommendationManifest, onnx: bytes) -> dict[str, float]:
    """Return the median time of what no answer can do without, called from this process."""
    model, mask = RecommenderModel(manifest, onnx), np.ones(manifest.items, dtype=np.bool_)
    store = RedisStore(str(served.platform.addresses.redis), timeout_seconds=10)
    histories: list[bytes] = []

    def read(user: int) -> None:
        keys = [history_key(user_name(user)), profile_key(user_name(user))]
        histories.append(store.append_and_read([], keys, expire_after=timedelta())[0])

    def recommend(at: int) -> None:
        items = model.positions_of(history_of(histories[at])["item"])
        model.recommend(items, np.ones(len(items), dtype=np.float32), mask, k=K)

    users = np.random.default_rng(1).integers(USERS, size=PART_CALLS).tolist()
    parts = {"Redis": _median_ms(read, users), "graph": _median_ms(recommend, range(PART_CALLS))}
    store.close()
    return parts


def _median_ms(call: Callable[[int], None], arguments: Iterable[int]) -> float:
    took = []
    for argument in arguments:
        started = time.perf_counter()
        call(argument)
        took.append((time.perf_counter() - started) * 1000)
    return float(np.median(took))


def _click_figures(served: ServedRecommender) -> list[Figure]:
    """Return how long after ingest took a click the shopper's next answer no longer shows the item."""
    took_ms: list[float] = []
    addresses = served.platform.addresses.services
    users = np.random.default_rng(2).integers(USERS, size=CLICKS).tolist()
    with httpx.Client(base_url=addresses["ingest"]) as ingest, httpx.Client(base_url=addresses[SERVICE]) as scoring:
        for user in track(users, "click to changed answer"):
            clicked = _shown(scoring, user)[0]
            click = {
                "user_id": user_name(user),
                "item_id": clicked,
                "kind": "view",
                "occurred_at": datetime.now(UTC).isoformat(),
            }
            ingest.post("/v1/interactions", json=click).raise_for_status()
            accepted = time.perf_counter()
            while clicked in _shown(scoring, user) and time.perf_counter() - accepted < CHANGE_SECONDS_MAX:
                time.sleep(ASKED_AGAIN_SECONDS)
            took_ms.append((time.perf_counter() - accepted) * 1000)
    unchanged = sum(each >= CHANGE_SECONDS_MAX * 1000 for each in took_ms)
    return [
        Figure(
            "click_to_answer_p50_ms", f"{CLICKS} clicks, accepted to changed answer: p50 ms", np.percentile(took_ms, 50)
        ),
        Figure("click_to_answer_p99_ms", "the same: p99 ms", np.percentile(took_ms, 99), goal="50"),
        Figure(
            "clicks_without_change",
            f"clicks that changed nothing within {CHANGE_SECONDS_MAX:.0f} s",
            unchanged,
            goal="0",
        ),
    ]


def _shown(scoring: httpx.Client, user: int) -> list[str]:
    answer = scoring.get(f"/v1/recommendations/{user_name(user)}")
    return [item["item_id"] for item in answer.raise_for_status().json()["items"]]


if __name__ == "__main__":
    main()
