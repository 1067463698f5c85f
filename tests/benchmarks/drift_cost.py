"""What watching costs: processor time a payment with every detector, and whether memory grows."""

import pickle
import time

import numpy as np

from services.drift.settings import DriftSettings
from services.drift.watch import Watch
from tests.benchmarks.drift_feed import batches, take_in
from tests.benchmarks.drift_model import Served, served
from tests.benchmarks.drift_payments import DAY_US, LABEL_DELAY_DAYS, Payments, payments_of
from tests.benchmarks.drift_scenes import PROMOTED_DAY, STABLE_DAYS, STABLE_PAYMENTS
from tests.benchmarks.report import Figure

BATCH = 500
REPEATS = 10
GOAL_PAYMENTS_PER_SECOND = 5_000


def cost_figures() -> list[Figure]:
    """Return processor time, and the size of what is kept after STABLE_PAYMENTS and after REPEATS times as many.

    Reading Kafka and decoding are not in it.
    """
    payments, champion = _stretched()
    watch = Watch(champion.champion, DriftSettings())
    delay_us = LABEL_DELAY_DAYS * DAY_US
    seconds: list[float] = []
    sizes: dict[int, int] = {}
    for batch in batches(payments, champion, 0, len(payments.rows), delay_us=delay_us, size=BATCH):
        started = time.process_time()
        take_in(watch, batch)
        watch.found()
        seconds.append(time.process_time() - started)
        if batch.place in {STABLE_PAYMENTS, REPEATS * STABLE_PAYMENTS}:
            sizes[batch.place] = len(pickle.dumps(watch))
    early, late = sizes.values()
    payment_us = 1e6 * sum(seconds) / len(payments.rows)
    goal = f">= {GOAL_PAYMENTS_PER_SECOND:,}"
    return [
        Figure("payment_cpu_us", f"CPU a payment, µs, batches of {BATCH}", payment_us),
        Figure("batch_cpu_us_p50", "CPU a batch, µs, median", 1e6 * float(np.median(seconds))),
        Figure("batch_cpu_us_max", "CPU a batch, µs, the longest: when a day closes", 1e6 * max(seconds)),
        Figure("payments_per_second", "payments a second on one core", 1e6 / payment_us, goal=goal),
        Figure(
            "state_bytes",
            f"bytes kept after {REPEATS * STABLE_PAYMENTS:,} payments",
            late,
            early,
            f"after {STABLE_PAYMENTS:,}",
            "flat",
        ),
    ]


def _stretched() -> tuple[Payments, Served]:
    """Return a stable stream again and again, as one after the other."""
    payments = payments_of(1, STABLE_DAYS)
    champion = served(payments)
    start = payments.place_of(PROMOTED_DAY)
    taken = slice(start, start + STABLE_PAYMENTS)
    length_us = -(-(payments.times_us[taken][-1] - payments.times_us[start]) // DAY_US) * DAY_US
    repeats = np.repeat(np.arange(REPEATS), STABLE_PAYMENTS)
    whole = Payments(
        np.tile(payments.rows[taken], (REPEATS, 1)),
        np.tile(payments.times_us[taken], REPEATS) + repeats * length_us,
        np.tile(payments.frauds[taken], REPEATS),
        np.tile(payments.cards[taken], REPEATS),
        np.tile(payments.amounts[taken], REPEATS),
    )
    return whole, Served(champion.champion, np.tile(champion.scores[taken], REPEATS))
