"""Feast reading features from Redis, in process: as many features as ours, in a view each of card, merchant and device.

`python -m tests.benchmarks.scoring_peers.feast_redis redis-port` fills the views, prints a line, and from then on answers
each line, a number of reads, with what each of these took, in milliseconds, as JSON. Feast computes no feature itself.
"""

import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig  # type: ignore[import-not-found]
from feast.repo_config import RegistryConfig  # type: ignore[import-not-found]
from feast.types import Float32  # type: ignore[import-not-found]
from feast.value_type import ValueType  # type: ignore[import-not-found]

WIDTHS = {"card": 42, "merchant": 16, "device": 6}
"""Features of each view."""
ROWS = 1_000
"""Of each entity there are so many."""
WARM_READS = 20


def applied(folder: Path, redis_port: int) -> FeatureStore:
    """Return a store whose views are full."""
    store = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=RegistryConfig(path=str(folder / "registry.db")),
            online_store={"type": "redis", "connection_string": f"127.0.0.1:{redis_port},db=1"},
            entity_key_serialization_version=3,
        )
    )
    for name, width in WIDTHS.items():
        entity = Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        columns = [f"{name}_{number}" for number in range(width)]
        view = FeatureView(
            name=name,
            entities=[entity],
            ttl=timedelta(days=30),
            schema=[Field(name=column, dtype=Float32) for column in columns],
            source=FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp"),
        )
        values = {f"{name}_id": [f"{name}-{row}" for row in range(ROWS)], "event_timestamp": datetime.now(UTC)}
        frame = pd.DataFrame(values | {column: [random.random() for _ in range(ROWS)] for column in columns})
        frame.to_parquet(folder / f"{name}.parquet")
        store.apply([entity, view])
        store.write_to_online_store(name, frame)
    return store


def read_ms(store: FeatureStore, reads: int) -> list[float]:
    """Return how long each read of three entities took."""
    features = [f"{name}:{name}_{number}" for name, width in WIDTHS.items() for number in range(width)]
    took: list[float] = []
    for _ in range(WARM_READS + reads):
        entities = {f"{name}_id": f"{name}-{random.randrange(ROWS)}" for name in WIDTHS}
        started = time.perf_counter()
        answer = store.get_online_features(features=features, entity_rows=[entities])
        took.append((time.perf_counter() - started) * 1000)
    if any(column == [None] for column in answer.to_dict().values()):
        raise SystemExit("Feast found no value where one was written")
    return took[WARM_READS:]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        store = applied(Path(folder), int(sys.argv[1]))
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(read_ms(store, int(line))), flush=True)
