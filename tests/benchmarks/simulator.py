"""How fast the simulator makes payments, beside encoding the same events and nothing else.

Run: python -m tests.benchmarks.simulator. Writes .bench/simulator.json.
"""

import itertools
import platform
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from services.local.simulator import Simulator, SimulatorConfig
from shared.contracts import codec

PAYMENTS = 100_000
GOAL_A_SECOND = 10_000
RESULTS = Path(".bench/simulator.json")


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

    table = Table(title=f"simulator: {config.cards:,} cards, {config.merchants:,} merchants, {platform.machine()}")
    for column in ("figure", "ours", "floor (encoding alone)", "goal"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    table.add_row("payments made a second", f"{ours:,.0f}", f"{floor:,.0f}", f"{GOAL_A_SECOND:,}")
    table.add_row("seconds to the first payment", f"{world_seconds:.2f}", "", "")
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(
        msgspec.json.format(
            msgspec.json.encode(
                {
                    "payments_per_second": ours,
                    "payments_per_second_floor": floor,
                    "payments_per_second_goal": GOAL_A_SECOND,
                    "world_seconds": world_seconds,
                }
            )
        )
    )


if __name__ == "__main__":
    main()
