"""Simulated payments with their features, as the platform would have computed them: what drift is measured on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from services.local.simulation.change import Drift, Rhythm
from services.local.simulation.simulator import SimulatedPayment, Simulator, SimulatorConfig
from shared.contracts.events import Label
from shared.features.backfill import backfilled
from shared.features.catalog.fraud import FRAUD

CARDS, MERCHANTS = 500, 1_000
"""About a thousand payments and nine frauds a day."""
CACHE = Path(".bench/drift")
DAY_US = 86_400_000_000
LABEL_DELAY_DAYS = 7

_INSTANT = pl.Datetime("us", "UTC")
_TEXTS = ("event_id", "transaction_id", "card_id")
_MADE_BY = ("simulator.py", "simulator_change.py", "simulator_chance.py", "simulated_world.py")
_SERVICES_LOCAL = Path(__file__).parents[2] / "services" / "local"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Payments:
    """Payments in order of time.

    rows: shape (n, features), of the set `fraud`. times_us: shape (n,), event times. frauds: shape (n,), 1 for fraud.
    cards: shape (n,), a number for each card. amounts: shape (n,), minor units.
    """

    rows: npt.NDArray[np.float32]
    times_us: npt.NDArray[np.int64]
    frauds: npt.NDArray[np.int8]
    cards: npt.NDArray[np.int64]
    amounts: npt.NDArray[np.int64]

    def place_of(self, day: float) -> int:
        """Return the place of the first payment on or after a day, counted from the world's start."""
        return int(np.searchsorted(self.times_us, start_us() + int(day * DAY_US)))


def start_us() -> int:
    """Return when every world begins, microseconds since 1970."""
    return (SimulatorConfig().start - _EPOCH) // timedelta(microseconds=1)


def payments_of(seed: int, days: int, *drifts: Drift) -> Payments:
    """Return the payments of so many days, with the rhythm of the calendar; kept in CACHE."""
    config = SimulatorConfig(seed=seed, cards=CARDS, merchants=MERCHANTS, rhythm=Rhythm(), drifts=drifts)
    code = [(_SERVICES_LOCAL / name).read_bytes() for name in _MADE_BY]
    what = b"".join([repr((config, days, FRAUD.version)).encode(), *code])
    file = CACHE / f"payments-{hashlib.sha256(what).hexdigest()[:16]}.npz"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        made = _computed(config, days)
        partial = file.with_suffix(".writing.npz")
        np.savez(
            partial,
            rows=made.rows,
            times_us=made.times_us,
            frauds=made.frauds,
            cards=made.cards,
            amounts=made.amounts,
        )
        partial.replace(file)
    with np.load(file) as columns:
        return Payments(**columns)


def _computed(config: SimulatorConfig, days: int) -> Payments:
    simulator = Simulator(config)
    end = config.start + timedelta(days=days)
    made = list(takewhile(lambda each: each.transaction.occurred_at < end, simulator.payments()))
    vectors = backfilled(FRAUD, _payment_columns(made), _label_columns(simulator.labels_due(end)))
    order = vectors.payments
    truth = pl.DataFrame(
        {
            "transaction_id": [each.transaction.transaction_id for each in made],
            "fraud": [each.is_fraud for each in made],
        }
    )
    known = order.select("transaction_id").join(truth, on="transaction_id", how="left", maintain_order="left")
    return Payments(
        rows=vectors.values.astype(np.float32),
        times_us=order["occurred_at"].dt.epoch("us").to_numpy(),
        frauds=known["fraud"].cast(pl.Int8).to_numpy(),
        cards=order["card_id"].rank("dense").cast(pl.Int64).to_numpy(),
        amounts=order["amount"].to_numpy(),
    )


def _payment_columns(made: Sequence[SimulatedPayment]) -> pl.DataFrame:
    fields = (*_TEXTS, "merchant_id", "device_id", "user_id", "channel", "country", "mcc", "currency", "amount")
    columns = {name: [getattr(each.transaction, name) for each in made] for name in fields}
    times = {"occurred_at": [each.transaction.occurred_at for each in made]}
    return _as_logged(pl.DataFrame(columns | times, schema_overrides={"occurred_at": _INSTANT, "device_id": pl.String}))


def _label_columns(labels: Sequence[Label]) -> pl.DataFrame:
    columns = {name: [getattr(label, name) for label in labels] for name in (*_TEXTS, "label", "occurred_at")}
    return _as_logged(pl.DataFrame(columns, schema_overrides={"occurred_at": _INSTANT}))


def _as_logged(events: pl.DataFrame) -> pl.DataFrame:
    """Return the events with where and when they came in: at once, one after the other."""
    return events.with_columns(
        produced_ms=pl.col("occurred_at").dt.epoch("ms"), partition=pl.lit(0), offset=pl.int_range(pl.len())
    )
