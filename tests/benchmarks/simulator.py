"""How fast the simulator makes payments, beside encoding the same events and nothing else: `make bench-simulator`."""

import itertools
import time

from services.local.simulation.simulator import Simulator, SimulatorConfig
from shared.contracts import codec
from tests.benchmarks.report import Figure, publish

PAYMENTS = 100_000


def main() -> None:
    config = SimulatorConfig()
    started = time.perf_counter()
    stream = Simulator(config).payments()
    first = next(stream)
    world_seconds = time.perf_counter() - started

    started = time.perf_counter()
    payments = [first, *itertools.islice(stream, PAYMENTS - 1)]
    ours = PAYMENTS / (time.perf_counter() - started)

    started = time.perf_counter()
    for payment in payments:
        codec.encode(payment.transaction)
    floor = PAYMENTS / (time.perf_counter() - started)
    publish(
        "simulator",
        f"simulator: {config.cards:,} cards, {config.merchants:,} merchants",
        [
            Figure("payments_per_second", "payments made a second", ours, floor, "encoding them alone", "10,000"),
            Figure("world_seconds", "seconds to the first payment", world_seconds),
        ],
    )


if __name__ == "__main__":
    main()
