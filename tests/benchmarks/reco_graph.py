"""What a recommendation costs in process: the graph's call and its contributions, beside peers that answer the same.

A history of 50 and the best 20, of 10,000 and of 100,000 items, on one thread. Each asks in turn, so that whatever else
the machine does meets all alike. Beside stand the same scores by one dense matrix, as EASE is published, and implicit in
an environment of its own (`tests/benchmarks/reco_peers.lock`): cosine neighbours, and factors worked out from the
history. Run by itself: `python -m tests.benchmarks.reco_graph`.
"""

import itertools
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from services.training.recommendation.export import IR_VERSION, OPSET, export
from services.training.recommendation.recommender import Component, Neighbours, Recommender
from shared.models.manifest import RecommendationManifest
from shared.models.recommender import RecommenderModel
from shared.models.session import opened
from tests.benchmarks.process_usage import usage_of
from tests.benchmarks.reco_peer import HISTORY, SHOPPERS, K, shoppers
from tests.benchmarks.report import Figure, publish
from tests.recommenders import manifest_of as small_manifest

ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".bench" / "reco-peers-venv" / "bin" / "python"
CATALOGUES = {"10k": 10_000, "100k": 100_000}
DENSE_ITEMS_MAX = 10_000
COMPONENTS = 3
WIDTH = 100
ROUNDS = 20
ASKED_PER_ROUND = 25
DENSE = "one dense matrix product in onnxruntime"
COSINE = "implicit CosineRecommender(K=100)"
ALS = "implicit ALS, 64 factors, recalculate_user"
_LABELS = {"graph": "graph", "one_component": "graph of one component"}

Times = dict[str, list[float]]
Way = Callable[[int], list[float]]
"""Asks for recommendations for so many shoppers; returns the microseconds that each took."""


class PeerMissingError(Exception):
    """The environment of the peers was not made, or the peer failed in it."""


class Loaded(NamedTuple):
    """What loading a model costs a process of its own; resident_mb: more than before the bytes were read."""

    seconds: float
    resident_mb: float


def main() -> None:
    publish("reco-graph", f"a recommendation in process, {COMPONENTS} x {WIDTH} neighbours", graph_figures())


def graph_figures() -> list[Figure]:
    """Return what a call costs at each size of catalogue, beside its peers, and what the model weighs."""
    return [figure for name, items in CATALOGUES.items() for figure in _figures(name, items)]


def _figures(name: str, items: int) -> list[Figure]:
    content, one = export(recommender(items)), export(recommender(items, components=1))
    took = _measured(items, *(RecommenderModel(manifest_of(each, items), each) for each in (content, one)))
    half = {key: float(np.median(us)) for key, us in took.items()}
    loaded = loading(content, items)
    beside = {"als": ("graph", ALS), "dense": ("graph", DENSE), "cosine": ("one_component", COSINE)}
    return [
        *(
            Figure(
                f"reco_{ours}_{name}_{key}_p50_us",
                f"{_LABELS[ours]}, {name} items, p50 µs",
                half[ours],
                half[key],
                told,
            )
            for key, (ours, told) in beside.items()
            if key in half
        ),
        Figure(f"reco_graph_{name}_p99_us", f"graph, {name} items, p99 µs", float(np.percentile(took["graph"], 99))),
        Figure(
            f"reco_contributions_{name}_p50_us",
            f"contributions to {K} scores, {name} items, p50 µs",
            half["contributions"],
            half["graph"],
            "the call that scored them",
        ),
        Figure(
            f"reco_graph_{name}_resident_mb",
            f"loaded, {name} items, MB resident",
            loaded.resident_mb,
            len(content) / 1e6,
            "the graph's bytes",
        ),
        Figure(f"reco_graph_{name}_load_seconds", f"loaded, {name} items, seconds", loaded.seconds),
    ]


def recommender(items: int, *, components: int = COMPONENTS) -> Recommender:
    """Return a blend whose neighbours lie all over the catalogue, which is as far apart in memory as they can."""
    random = np.random.default_rng(0)
    return Recommender(
        item_ids=tuple(f"item-{at}" for at in range(items)),
        components=tuple(
            Component(
                f"part{at}",
                Neighbours(
                    random.integers(0, items, (items, WIDTH), dtype=np.int32),
                    random.random((items, WIDTH), dtype=np.float32),
                ),
                weight=1.0,
                decay=0.9,
                length=HISTORY,
                norm=0.5,
            )
            for at in range(components)
        ),
        popularity=random.random((3, items), dtype=np.float32),
        popularity_weight=0.3,
        segments=("DE", "FR"),
        segment_attribute="country",
        kind_weights={"view": 1.0},
        half_life_seconds=None,
    )


def manifest_of(content: bytes, items: int) -> RecommendationManifest:
    return small_manifest(content, metrics={}, items=items, users=SHOPPERS)


def loading(content: bytes, items: int) -> Loaded:
    """Return what a fresh process pays for a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            return process.submit(_load, path, items).result()


def _load(path: Path, items: int) -> Loaded:
    small = export(recommender(100))
    RecommenderModel(manifest_of(small, 100), small)  # libraries, and compiled code
    before_mb = usage_of(os.getpid()).resident_mb
    started = time.perf_counter()
    content = path.read_bytes()
    model = RecommenderModel(manifest_of(content, items), content)
    seconds = time.perf_counter() - started
    del content
    resident_mb = usage_of(os.getpid()).resident_mb - before_mb
    assert len(model.item_ids) == items
    return Loaded(seconds, resident_mb)


def _measured(items: int, model: RecommenderModel, one_component: RecommenderModel) -> Times:
    """Return the microseconds of each call, ours and the peers' in turn."""
    rows = shoppers(items)
    took: Times = {}
    with ExitStack() as running:
        ways: dict[str, Way] = {
            "graph": _asking(model, rows),
            "contributions": _explaining(model, rows),
            "one_component": _asking(one_component, rows),
        }
        if items <= DENSE_ITEMS_MAX:
            ways["dense"] = _dense(items, rows)
        ways |= {kind: running.enter_context(peer(kind, items)) for kind in ("cosine", "als")}
        for _ in range(ROUNDS):
            for key, way in ways.items():
                took.setdefault(key, []).extend(way(ASKED_PER_ROUND))
    return took


def _asking(model: RecommenderModel, rows: npt.NDArray[np.int64]) -> Way:
    """Return what asks for the best K of all items but the shopper's own."""
    shopper = itertools.cycle(rows)
    weights = np.ones(HISTORY, dtype=np.float32)

    def ask(count: int) -> list[float]:
        took = []
        for history in itertools.islice(shopper, count):
            mask = np.ones(len(model.item_ids), dtype=np.bool_)
            mask[history] = False
            took.append(_microseconds(lambda: model.recommend(history, weights, mask, k=K, segment=1)))  # noqa: B023
        return took

    return ask


def _explaining(model: RecommenderModel, rows: npt.NDArray[np.int64]) -> Way:
    """Return what asks for the contributions to the scores of K items."""
    shopper = itertools.cycle(rows)
    weights = np.ones(HISTORY, dtype=np.float32)
    everything = np.ones(len(model.item_ids), dtype=np.bool_)

    def ask(count: int) -> list[float]:
        took = []
        for history in itertools.islice(shopper, count):
            top = model.recommend(history, weights, everything, k=K, segment=1).items
            took.append(_microseconds(lambda: model.contributions(history, weights, top, segment=1)))  # noqa: B023
        return took

    return ask


def _microseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e6


def _dense(items: int, rows: npt.NDArray[np.int64]) -> Way:
    """Return what asks a graph that multiplies the whole history with the whole table."""
    table = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=(items, items))
    table.data_location = TensorProto.EXTERNAL
    entry = table.external_data.add()
    entry.key, entry.value = "location", "given"
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["history", "table"], ["scores"]),
            helper.make_node("TopK", ["scores", "k"], ["best", "top"], axis=1),
        ],
        "dense",
        [
            helper.make_tensor_value_info("history", TensorProto.FLOAT, [1, items]),
            helper.make_tensor_value_info("k", TensorProto.INT64, [1]),
        ],
        [helper.make_tensor_value_info("top", TensorProto.INT64, [1, "k"])],
        [table],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    values = np.random.default_rng(0).random((items, items), dtype=np.float32)
    session = opened(model.SerializeToString(), {"table": values})
    shopper = itertools.cycle(rows)

    def ask(count: int) -> list[float]:
        took = []
        for row in itertools.islice(shopper, count):
            history = np.zeros((1, items), dtype=np.float32)
            history[0, row] = 1
            feed = {"history": history, "k": np.array([K])}
            took.append(_microseconds(lambda: session.run(None, feed)))  # noqa: B023
        return took

    return ask


@contextmanager
def peer(kind: str, items: int) -> Iterator[Way]:
    """Run a peer while the context lasts; yield what asks it for so many shoppers.

    Raises:
        PeerMissingError: its environment is missing, or it failed.
    """
    if not PEERS_PYTHON.exists():
        raise PeerMissingError(f"{PEERS_PYTHON} is missing: run `make bench-reco-speed`, which makes it")
    command = [str(PEERS_PYTHON), "-m", "tests.benchmarks.reco_peer", kind, str(items)]
    environment: Mapping[str, str] = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        asked, answers = child.stdin, child.stdout
        if asked is None or answers is None or answers.readline() != "ready\n":
            raise PeerMissingError(f"{' '.join(command)} ended with {child.wait()} before it was ready")

        def ask(count: int) -> list[float]:
            asked.write(f"{count}\n")
            asked.flush()
            took: list[float] = json.loads(answers.readline())
            return took

        yield ask
        asked.close()


if __name__ == "__main__":
    main()
