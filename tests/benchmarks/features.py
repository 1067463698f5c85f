"""What exact features cost: `make bench-features`.

One payment from its caller, and batches as the stream applies them, on a Redis-protocol server; the same windows in
other libraries and other designs, in the same run; how cost grows with an entity's events and with the number of
cards; the fraud benchmark's payments backfilled (HEADRACE_DATA=folder of data sets).
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import redis
from rich.progress import track

from services.features.handlers import FeaturesHandler
from services.local.ports import choose_ports
from services.local.redis import RedisServer, find_redis
from services.local.supervisor import Supervisor
from shared.bus.base import Outgoing, Record
from shared.contracts import codec
from shared.contracts.events import FeatureVector, Transaction
from shared.contracts.topics import TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import DAY, HOUR, Aggregation, Entity, FeatureSet, Window
from shared.features.engine import Arrival, FeatureEngine
from shared.features.state import RECORD_BYTES, log_origin
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from shared.store.redis import RedisStore
from tests.benchmarks.feature_peers import check, peers
from tests.benchmarks.feature_peers.oracle import expected
from tests.benchmarks.feature_peers.own_venv import PeerFailedError
from tests.benchmarks.feature_peers.workload import COMPARED, Payment, PeerResult, Workload
from tests.benchmarks.features_growth import growth
from tests.benchmarks.handbook_features import backfill_figures
from tests.benchmarks.report import Figure, publish
from tests.events import payment

ROUNDS = 3
BATCH = 500
SINGLES = 2_000
SIZE = 20_000

SAME_WINDOWS = FeatureSet(
    "peers",
    (
        *(
            Window(Entity.CARD, aggregation, length)
            for length in (HOUR, DAY, 7 * DAY, 30 * DAY)
            for aggregation in (Aggregation.COUNT, Aggregation.SUM, Aggregation.MAX)
        ),
        *(
            Window(Entity.MERCHANT, aggregation, length)
            for length in (HOUR, DAY, 7 * DAY)
            for aggregation in (Aggregation.COUNT, Aggregation.MEAN)
        ),
        *(Window(Entity.DEVICE, Aggregation.COUNT, length) for length in (DAY, 7 * DAY)),
    ),
)
"""The windows of feature_peers/workload.py, in the same order."""


def main() -> None:
    with ExitStack() as exit_stack, tempfile.TemporaryDirectory() as folder:
        supervisor = Supervisor()
        exit_stack.callback(supervisor.stop)
        port = choose_ports([None])[0]
        server = RedisServer(Path(folder), binary=find_redis(), port=port, log_path=Path(folder) / "redis.log")
        supervisor.start(server)
        supervisor.wait_ready([server], seconds_max=60, say=print)
        store = RedisStore(server.url, timeout_seconds=10)
        exit_stack.callback(store.close)
        figures = [
            *batches(store, server.url),
            *singles(store, server.url),
            *growth(store, server.url),
            *backfill_figures(),
        ]
    publish("features", "exact features", figures)


def transactions(payments: Sequence[Payment]) -> list[Transaction]:
    return [
        payment(
            f"t{p.number}",
            occurred_at=datetime.fromtimestamp(p.at_ms / 1000, UTC),
            card_id=p.card,
            merchant_id=p.merchant,
            device_id=p.device,
            amount=p.amount_cents,
        )
        for p in payments
    ]


def records_of(events: Sequence[Transaction]) -> list[Record]:
    return [
        Record(TRANSACTIONS.name, 0, at, event.card_id.encode(), codec.encode(event), at)
        for at, event in enumerate(events)
    ]


def ours(feature_set: FeatureSet, store: RedisStore, records: Sequence[Record]) -> PeerResult:
    """Apply every payment as the features service does, from a record's bytes to its answer's: all but Kafka."""
    handler = FeaturesHandler(
        FeatureEngine(feature_set), store, SystemClock(), age_max=timedelta(minutes=1), lag_records=lambda: 0
    )
    last: list[Outgoing] = []
    started = time.perf_counter()
    for first in range(0, len(records), BATCH):
        batch = records[first : first + BATCH]
        answers = handler([Delivery(r, codec.decode_record(TRANSACTIONS, r.key, r.value)) for r in batch])
        last = [*last, *answers][-COMPARED:]
    seconds = time.perf_counter() - started
    return PeerResult(len(records), seconds, [codec.decode(FeatureVector, answer.value).values for answer in last])


def batches(store: RedisStore, url: str) -> list[Figure]:
    """Return payments a second: ours with every feature and with the peers' windows, and each peer."""
    workload = Workload(SIZE)
    payments = workload.payments()
    records, wanted = records_of(transactions(payments)), expected(payments)
    runs: dict[str, Callable[[], PeerResult]] = {
        "all": lambda: ours(FRAUD, store, records),
        "ours": lambda: ours(SAME_WINDOWS, store, records),
    }
    beside = {f"peer_{at}": peer for at, peer in enumerate(peers(url))}
    runs |= {key: (lambda peer=peer: peer.run(workload)) for key, peer in beside.items()}  # type: ignore[misc]
    rates: dict[str, list[float]] = {key: [] for key in runs}
    for _ in track(range(ROUNDS), "batches, ours and peers in turn"):
        for key, run in list(runs.items()):
            flush(url)
            try:
                result = run()
            except PeerFailedError as error:
                print(f"{beside[key].name}: left out, {error}")
                del runs[key], rates[key]
                continue
            if key == "ours" or (key in beside and beside[key].exact):
                check(beside[key].name if key in beside else key, result.vectors, wanted)
            rates[key].append(result.payments_per_second)
    flush(url)
    ours(FRAUD, store, records)
    found = {key: median(values) for key, values in rates.items()}
    goal = "20,000; at least 8,000"
    return [
        Figure(
            "payments_per_second",
            f"batches of {BATCH}, {len(FRAUD.features)} features, a second",
            found["all"],
            None,
            "",
            goal,
        ),
        *(
            Figure(
                f"same_windows_beside_{key}",
                f"batches of {BATCH}, the peers' windows, a second",
                found["ours"],
                found[key],
                beside[key].name,
            )
            for key in beside
            if key in found
        ),
        *state_sizes(url, len(records)),
    ]


def state_sizes(url: str, events: int) -> list[Figure]:
    """Return what the last run left in the store."""
    client = redis.Redis.from_url(url)
    used = {
        entity: [client.memory_usage(key) or 0 for key in client.scan_iter(f"features:{entity}:*", count=1000)]
        for entity in ("card", "merchant", "device")
    }
    total = sum(sum(sizes) for sizes in used.values())
    client.close()
    return [
        Figure("record_bytes", "bytes of a record", RECORD_BYTES),
        Figure("bytes_per_payment", "bytes in the server a payment, all its entities", total / events),
        Figure(
            "bytes_per_card",
            f"bytes in the server a card ({events / len(used['card']):.0f} payments)",
            float(np.mean(used["card"])),
        ),
    ]


def flush(url: str) -> None:
    client = redis.Redis.from_url(url)
    client.flushall()
    client.close()


def singles(store: RedisStore, url: str) -> list[Figure]:
    """Return microseconds from the caller: append to three states, read them, compute all features; and the floor."""
    workload = Workload(SIZE)
    events = transactions(workload.payments())
    ours(FRAUD, store, records_of(events[:-SINGLES]))
    engine = FeatureEngine(FRAUD)
    client = redis.Redis.from_url(url)
    empty = client.register_script("return 1")
    client.mset({f"floor:{at}": b"x" * 4_000 for at in range(3)})
    took: list[float] = []
    floor: list[float] = []
    for at, event in enumerate(track(events[-SINGLES:], "one by one, and the floor")):
        started = time.perf_counter()
        plan = engine.plan([Arrival(event, log_origin(0, SIZE + at))])
        engine.vectors(plan, store.append_and_read(plan.appends, plan.reads, expire_after=engine.state_lifetime))
        took.append((time.perf_counter() - started) * 1e6)
        started = time.perf_counter()
        empty()
        client.mget("floor:0", "floor:1", "floor:2")
        floor.append((time.perf_counter() - started) * 1e6)
    client.close()
    what = "an empty script call and one MGET of three packed values, redis-py"
    return [
        Figure(
            f"single_p{q}_us",
            f"one payment, {len(FRAUD.features)} features, p{q} us",
            float(np.percentile(took, q)),
            float(np.percentile(floor, q)),
            what,
            goal,
        )
        for q, goal in ((50, "250"), (99, "800"))
    ]


if __name__ == "__main__":
    main()
