"""A platform with a catalogue, a recommender and shoppers' histories: what `GET /v1/recommendations` is measured on."""

import hashlib
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from rich.progress import track

from services.local.platform import Platform
from services.training.model_log import ModelLog
from services.training.recommendation.export import export
from services.training.recommendation.recommender import Component, Neighbours, Recommender
from shared.bus.base import Bus
from shared.features.state import identity, microseconds
from shared.models.manifest import RECOMMENDATION, RecommendationManifest
from shared.models.packages import Packages, packed, sha256
from shared.recommendation.feature_version import FEATURE_VERSION
from shared.recommendation.history import RECORD, history_key
from shared.runtime.metrics.exposition import parse_exposition
from shared.store.redis import RedisStore
from tests.benchmarks.http_load import get
from tests.benchmarks.served_model import console
from tests.model_events import model_event

SERVICE = "scoring"
WIDTH, COMPONENTS = 100, 3
HISTORY_LENGTH = 20
"""Interactions of each shopper, of the last weeks."""
WRITTEN_AT_ONCE = 2_000
SECONDS_MAX = 120.0


class ServedRecommender:
    """A running platform with `users` shoppers, and recommenders to put into service."""

    def __init__(self, platform: Platform, *, users: int) -> None:
        self.platform = platform
        self.bus: Bus = platform.bus()
        self.users = users
        self._versions = itertools.count(1)
        self._random = np.random.default_rng(0)

    @property
    def port(self) -> int:
        return self.port_of(SERVICE)

    def port_of(self, service: str) -> int:
        """Return where a service answers."""
        return int(self.platform.addresses.services[service].rpartition(":")[2])

    def requests(self, count: int) -> list[bytes]:
        """Return questions of as many shoppers, drawn at random."""
        return [
            get(f"/v1/recommendations/{user_name(user)}?n=10") for user in self._random.integers(self.users, size=count)
        ]

    def put_into_service(self, items: int) -> tuple[RecommendationManifest, bytes]:
        """Make a recommender of so many items, and return it when it answers."""
        manifest, onnx = recommender_package(items, next(self._versions))
        Packages(self.platform.home / "models").add(manifest, onnx)
        event = model_event(
            "promoted",
            manifest.model_version,
            name=RECOMMENDATION,
            model_name=RECOMMENDATION,
            model_digest=manifest.model_digest,
            manifest_digest=sha256(packed(manifest, onnx).manifest),
            feature_version=manifest.feature_version,
        )
        ModelLog(self.bus).append(lambda _: [event])
        url = f"{self.platform.addresses.services[SERVICE]}/metrics"
        until = time.monotonic() + SECONDS_MAX
        while _served_version(url) != manifest.model_version:
            if time.monotonic() > until:
                raise SystemExit(f"version {manifest.model_version} is not in service; see the log of scoring")
            time.sleep(0.1)
        return manifest, onnx

    def write_histories(self, items: int) -> None:
        """Give every shopper HISTORY_LENGTH interactions more, with so many items, straight into Redis."""
        store = RedisStore(str(self.platform.addresses.redis), timeout_seconds=SECONDS_MAX)
        hashes = np.array([identity(item_name(item)) for item in range(items)])
        now = microseconds(datetime.now(UTC))
        for begin in track(range(0, self.users, WRITTEN_AT_ONCE), f"histories of {self.users:,} shoppers"):
            users = range(begin, min(begin + WRITTEN_AT_ONCE, self.users))
            records = np.zeros((len(users), HISTORY_LENGTH), dtype=RECORD)
            records["item"] = hashes[self._random.integers(items, size=records.shape)]
            records["time"] = now - self._random.integers(60_000_000, 14 * 86_400_000_000, size=records.shape)
            records["event"] = self._random.integers(1, 1 << 62, size=records.shape)
            appends = [(history_key(user_name(user)), row.tobytes()) for user, row in zip(users, records, strict=True)]
            store.append_and_read(appends, [], expire_after=timedelta(days=30))
        store.close()


@contextmanager
def served_recommender(*, users: int) -> Iterator[ServedRecommender]:
    """Run Kafka, Redis, ingest, features and scoring on this machine; nothing is left of it behind."""
    services = ["ingest", "features", SERVICE]
    with TemporaryDirectory() as home, Platform(Path(home), services=services) as platform:
        platform.start(lambda line: console.print(line, style="dim"))
        yield ServedRecommender(platform, users=users)


def recommender_package(items: int, version: int) -> tuple[RecommendationManifest, bytes]:
    """Return a model whose tables are random and as large as a trained one's: a graph costs the same whatever is in it."""
    random = np.random.default_rng(version)
    width = min(WIDTH, items)

    def component(number: int, decay: float, length: int) -> Component:
        neighbours = random.integers(items, size=(items, width), dtype=np.int32)
        strengths = -np.sort(-random.random((items, width), dtype=np.float32), axis=1)
        return Component(f"component_{number}", Neighbours(neighbours, strengths), 1.0, decay, length, 0.5)

    recommender = Recommender(
        item_ids=tuple(map(item_name, range(items))),
        components=tuple(
            component(number, decay, length) for number, (decay, length) in enumerate(((0.9, 50), (0.8, 50), (0.5, 10)))
        ),
        popularity=random.random((1, items), dtype=np.float32),
        popularity_weight=0.01,
        segments=(),
        segment_attribute=None,
        kind_weights={"view": 1.0, "cart": 2.0, "purchase": 3.0, "like": 2.0},
        half_life_seconds=30 * 86_400.0,
    )
    onnx = export(recommender)
    manifest = RecommendationManifest(
        model_name=RECOMMENDATION,
        model_version=version,
        model_digest=hashlib.sha256(onnx).hexdigest(),
        feature_version=FEATURE_VERSION,
        family="random",
        trained_at=datetime.now(UTC),
        data_digest="c" * 64,
        training_rows=0,
        metrics={},
        items=items,
        users=0,
        probes=[],
    )
    return manifest, onnx


def user_name(user: int) -> str:
    """Return a shopper's id."""
    return f"user-{user}"


def item_name(item: int) -> str:
    """Return an item's id."""
    return f"item-{item}"


def _served_version(url: str) -> int | None:
    samples = parse_exposition(httpx.get(url).text)
    return next(
        (
            int(sample.value)
            for sample in samples
            if sample.name == "headrace_model_version" and sample.labels.get("model") == RECOMMENDATION
        ),
        None,
    )
