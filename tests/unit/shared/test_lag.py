"""How far behind a reader is, and what of Kafka's troubles is counted."""

import socket
from datetime import UTC, datetime

import kafka.errors
import pytest

from shared.bus.base import BusUnavailableError, FencedError, Standing
from shared.bus.kafka import KafkaBus
from shared.bus.kafka.connection import translated
from shared.runtime import metrics
from shared.runtime.lag import lag_seconds

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("standing", "seconds"),
    [
        ([], 0.0),
        ([Standing(0, NOW_MS - 60_000)], 0.0),
        ([Standing(7, NOW_MS - 60_000)], 60.0),
        ([Standing(1, NOW_MS - 90_000), Standing(500, NOW_MS - 1_500), Standing(0, NOW_MS - 600_000)], 90.0),
        ([Standing(9, None), Standing(1, NOW_MS - 500)], 0.5),
        ([Standing(1, NOW_MS + 5_000)], 0.0),
    ],
)
def test_lag_is_that_of_the_partition_furthest_behind_of_those_where_something_waits(
    standing: list[Standing], seconds: float
) -> None:
    assert lag_seconds(standing, NOW) == pytest.approx(seconds)


def count(kind: str) -> float:
    return float(metrics.KAFKA_ERRORS.labels(kind)._value.get())


def test_troubles_with_kafka_are_counted_by_kind() -> None:
    away, fenced = count("away"), count("fenced")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = taken.getsockname()[1]
    with pytest.raises(BusUnavailableError):
        KafkaBus(f"127.0.0.1:{nowhere}", partitions=1).sole_writer("models")
    assert count("away") == away + 1

    def commit() -> None:
        raise kafka.errors.CommitFailedError("rebalanced")

    with pytest.raises(FencedError):
        translated(commit)
    assert count("fenced") == fenced + 1
