"""Bytewax: one `stateful_map` whose state is the deques of the plain Python peer, without recovery store or broker.

A payment goes in once for each of its entities, and the values come out in parts; putting the parts of a vector
together, which a real flow needs, is not counted.
"""

import time
from collections.abc import Sequence

import bytewax.operators as op  # type: ignore[import-not-found]
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]
from bytewax.testing import TestingSink, TestingSource, run_main  # type: ignore[import-not-found]

from tests.benchmarks.feature_peers.deques import WINDOW_OF, SlidingWindow
from tests.benchmarks.feature_peers.own_venv import report
from tests.benchmarks.feature_peers.workload import COMPARED, WINDOWS, EntityWindows, Payment, PeerResult, Vector

SOURCE_BATCH = 500

Keyed = tuple[str, tuple[EntityWindows, Payment]]
Part = tuple[int, Vector]


def by_entity(payment: Payment) -> list[Keyed]:
    return [(getattr(payment, windows.entity), (windows, payment)) for windows in WINDOWS]


def slide(state: list[SlidingWindow] | None, event: tuple[EntityWindows, Payment]) -> tuple[list[SlidingWindow], Part]:
    windows, payment = event
    if state is None:
        state = [WINDOW_OF[windows.aggregates](window_ms) for window_ms in windows.windows_ms]
    values: Vector = []
    for window in state:
        values += window.apply(payment.at_ms, payment.amount_cents)
    return state, (payment.number, values)


def run(payments: Sequence[Payment]) -> PeerResult:
    """Apply every payment in order, in one worker."""
    parts: list[tuple[str, Part]] = []
    flow = Dataflow("windows")
    source = op.input("payments", flow, TestingSource(payments, batch_size=SOURCE_BATCH))
    keyed = op.flat_map("by_entity", source, by_entity)
    op.output("parts", op.stateful_map("slide", keyed, slide), TestingSink(parts))
    started = time.perf_counter()
    run_main(flow)
    seconds = time.perf_counter() - started
    found = {(key, number): values for key, (number, values) in parts}
    vectors = [
        [value for windows in WINDOWS for value in found[getattr(payment, windows.entity), payment.number]]
        for payment in payments[-COMPARED:]
    ]
    return PeerResult(len(payments), seconds, vectors)


if __name__ == "__main__":
    report(run)
