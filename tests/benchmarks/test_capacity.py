"""The arithmetic of capacity, on numbers that can be checked by hand; and that a filled Redis is as a grown one."""

import pytest
import redis

from tests.benchmarks.capacity_memory import growth_steps
from tests.benchmarks.capacity_needs import Measured, needs, network_bytes

MEASURED = Measured(
    cpu_us={"features": 150.0, "scoring": 300.0, "redis": 50.0},
    log_bytes={"transactions": 500.0, "features": 1_000.0, "scores": 500.0},
    card_bytes=14_000.0,
    retention_days={"transactions": 92, "features": 31, "scores": 92},
)


def test_needs_follow_from_what_a_payment_costs() -> None:
    needed = needs(MEASURED, per_second=10_000, cards=1_000_000)
    assert needed.cores == {"features": 3, "scoring": 5, "redis": 1}
    assert needed.partitions == 16
    assert needed.redis_gigabytes == pytest.approx(20)
    assert needed.disk_gigabytes_a_day == pytest.approx(5_000 * 86_400 * 2_000 * 3 / 1e9)
    # 92 days of 1,000 bytes and 31 days of 1,000 bytes of each payment, three times.
    assert needed.disk_terabytes == pytest.approx(5_000 * 86_400 * 123_000 * 3 / 1e12)


def test_a_large_state_needs_shards_though_a_core_would_do() -> None:
    needed = needs(MEASURED, per_second=1_000, cards=10_000_000)
    assert needed.cores["redis"] == 1
    assert needed.redis_shards == 8


def test_every_copy_and_every_reader_is_counted_on_the_network() -> None:
    assert network_bytes({"transactions": 100.0}) == 400
    assert network_bytes({"features": 100.0}) == 600


@pytest.mark.parametrize("records", [1, 2, 3, 10, 31, 500])
def test_steps_are_all_records(records: int) -> None:
    assert sum(growth_steps(records)) == records


@pytest.mark.servers
@pytest.mark.parametrize("records", [1, 2, 7, 30, 100])
def test_a_value_filled_in_steps_takes_as_much_memory_as_one_grown_record_by_record(
    records: int, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.delete("capacity:grown", "capacity:steps")
        for _ in range(records):
            client.append("capacity:grown", bytes(72))
        for step in growth_steps(records):
            client.append("capacity:steps", bytes(72 * step))
        assert client.memory_usage("capacity:steps") == client.memory_usage("capacity:grown")
