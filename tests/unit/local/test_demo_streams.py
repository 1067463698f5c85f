"""What the demo sends and reads, over the in-memory bus: everything once, in event-time order, under the right key."""

import itertools
import threading
from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from rich.console import Console

from services.local.demo.display import DemoDisplay
from services.local.demo.history import HistoryFeed
from services.local.demo.ledger import Ledger, Phase
from services.local.demo.plan import DemoError
from services.local.demo.rows import LiveRow, ShopRow
from services.local.demo.traffic import LiveTraffic, with_labels_due
from services.local.demo.watch import Watch
from services.local.simulation.simulator import SimulatedPayment, Simulator, SimulatorConfig
from shared.bus.base import Outgoing, Record
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import RetrainingRequest, Transaction
from shared.contracts.topics import BY_NAME, LABELS, RETRAINING, TOPICS, TRANSACTIONS
from shared.runtime.clock import SystemClock

CONFIG = SimulatorConfig(cards=300, merchants=600)
FEW = 400


def bus_with_topics() -> MemoryBus:
    bus = MemoryBus(partitions=4)
    bus.create_topics(TOPICS)
    return bus


def test_labels_travel_between_the_payments_they_fell_between() -> None:
    events = list(itertools.islice(with_labels_due(Simulator(CONFIG)), 8_000))
    times = [
        event.transaction.occurred_at if isinstance(event, SimulatedPayment) else event.occurred_at for event in events
    ]
    assert times == sorted(times)
    assert any(not isinstance(event, SimulatedPayment) for event in events)


def test_live_traffic_produces_what_the_ledger_says_it_made_and_nothing_else() -> None:
    bus, ledger = bus_with_topics(), Ledger()
    tail = bus.tail([TRANSACTIONS.name, LABELS.name], start="oldest")
    traffic = LiveTraffic(bus, Simulator(CONFIG), ledger, SystemClock(), payments_per_second=20_000)
    records: list[Record] = []
    while sum(record.topic == TRANSACTIONS.name for record in records) < FEW:
        records += tail.poll(wait_seconds=5.0)
    traffic.close()
    records += tail.poll(wait_seconds=0.0)
    assert traffic.failure is None
    events = [codec.decode_record(BY_NAME[record.topic], record.key, record.value) for record in records]
    sent = [event.transaction_id for event in events if isinstance(event, Transaction)]
    assert len(sent) == len(set(sent)) == ledger.made_total
    assert set(sent) >= {
        payment.transaction.transaction_id for payment in itertools.islice(Simulator(CONFIG).payments(), FEW)
    }


def test_payments_count_to_the_new_pattern_once_it_has_begun() -> None:
    bus, ledger = bus_with_topics(), Ledger()
    tail = bus.tail([TRANSACTIONS.name], start="oldest")
    traffic = LiveTraffic(bus, Simulator(CONFIG), ledger, SystemClock(), payments_per_second=1_000)
    try:
        while not tail.poll(wait_seconds=5.0):
            pass
        traffic.start_new_pattern()
        assert traffic.phase is Phase.NEW_PATTERN
    finally:
        traffic.close()


def test_the_watch_reads_what_came_after_it_and_keeps_the_order() -> None:
    bus = bus_with_topics()
    publisher = bus.publisher()

    def ask(requested_by: str, model_name: str = "fraud") -> None:
        request = RetrainingRequest(
            event_id="0198c0de-0000-7000-8000-000000000000",
            occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
            trace_id="0" * 32,
            model_name=model_name,
            requested_by=requested_by,
            reason="a test",
        )
        publisher.send(Outgoing(RETRAINING.name, RETRAINING.key_of(request).encode(), codec.encode(request)))

    ask("somebody before")
    watch = Watch(bus, Ledger(), SystemClock())
    try:
        ask("first")
        ask("second", "recommendation")
        arrived = threading.Event()
        while len(watch.news.events) < 2:
            arrived.wait(0.01)
    finally:
        watch.close()
    assert [seen.event.requested_by for seen in watch.news.events if isinstance(seen.event, RetrainingRequest)] == [
        "first",
        "second",
    ]
    for model_name, requested_by in (("fraud", "first"), ("recommendation", "second")):
        first = watch.news.first(RetrainingRequest, model_name, since=0.0)
        assert first is not None
        assert first.event.requested_by == requested_by
        assert watch.news.first(RetrainingRequest, model_name, since=first.at + 1_000) is None


class Ingest:
    """Answers like ingest; refuses every event of a batch whose number is in `refuse`."""

    def __init__(self, refuse: int | None = None) -> None:
        self.bodies: list[tuple[str, list[dict[str, object]]]] = []
        self._refuse = refuse

    def __call__(self, request: httpx.Request) -> httpx.Response:
        events = msgspec.json.decode(request.content)["events"]
        self.bodies.append((request.url.path, events))
        rejected = len(events) if self._refuse == len(self.bodies) else 0
        return httpx.Response(202, json={"accepted": len(events) - rejected, "rejected": rejected, "items": []})


def feed(ingest: Ingest, ledger: Ledger) -> HistoryFeed:
    client = httpx.Client(base_url="http://ingest", transport=httpx.MockTransport(ingest))
    return HistoryFeed(client, ledger, SystemClock())


def test_history_posts_exactly_the_payments_asked_for_in_batches() -> None:
    ingest, ledger, advanced = Ingest(), Ledger(), list[int]()
    fed = feed(ingest, ledger)
    fed.post(Simulator(CONFIG), payments=5_050, batch=500, advanced=advanced.append)
    by_path: dict[str, list[dict[str, object]]] = {}
    for path, events in ingest.bodies:
        assert len(events) <= 500
        by_path.setdefault(path, []).extend(events)
    posted = [event["event_id"] for event in by_path["/v1/transactions/batch"]]
    expected = [payment.transaction.event_id for payment in itertools.islice(Simulator(CONFIG).payments(), 5_050)]
    assert posted == expected
    assert len(by_path["/v1/labels/batch"]) == fed.labels_total
    assert ledger.made_total == sum(advanced) == 5_050


def test_history_stops_at_the_first_refused_event() -> None:
    with pytest.raises(DemoError, match=r"refused 500 of 500 transactions"):
        feed(Ingest(refuse=2), Ledger()).post(Simulator(CONFIG), payments=2_000, batch=500, advanced=lambda _: None)


def test_live_rows_are_plain_lines_where_there_is_no_terminal() -> None:
    console = Console(record=True, force_terminal=False, width=60)
    display = DemoDisplay(console)
    row = LiveRow(
        second=7,
        simulated=datetime(2026, 2, 3, 12, 30, tzinfo=UTC),
        payments=300,
        decisions=299,
        latency_ms=(41.2, 97.9),
        alerts=4,
        precision=None,
        recall=0.666,
        model_version=2,
    )
    shop = ShopRow(
        second=7,
        lists=30,
        latency_ms=(1.9, 6.2),
        click_through=0.466,
        told_ms=11.7,
        bought_shown=0,
        model_version=3,
    )
    with display.live():
        display.row(row, "waiting", shop)
        display.row(row, "waiting", shop)
    lines = console.export_text().splitlines()
    assert len(lines) == 5  # a header and a line a row, however narrow the console; not as often the shoppers'
    assert lines[1].split() == ["7", "03", "Feb", "12:30", "300", "299", "41", "98", "4", "-", "0.67", "2"]
    assert lines[3].split() == ["7", "30", "2", "6", "0.47", "12", "0", "3"]
