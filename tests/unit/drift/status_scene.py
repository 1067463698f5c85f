"""What the drift service might see: a model whose recall has fallen, and a quiet one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from services.drift.evidence import Budget
from services.drift.shown.status import Family, ModelStatus, Snapshot
from services.drift.signals import Distribution, Signal
from shared.contracts.events import DriftAlarm, RetrainingRequest
from shared.contracts.ids import derived_event_id
from tests.events import TRACE_ID

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
BUDGET = Budget(1.0)
HOSTILE = 'country=<script>alert("$x^2$")</script>'
BLIND = "no label of channel=<b>pos</b> has come for three weeks"


def family(name: str, evidence_days: float, share: float) -> Family:
    return Family(name=name, evidence_days=evidence_days, threshold_days=BUDGET.threshold_days(share))


def signal(name: str, **fields: Any) -> Signal:
    defaults: dict[str, Any] = {"kind": "data", "state": "quiet", "threshold_days": BUDGET.threshold_days(0.3)}
    return Signal(name=name, **(defaults | fields))


def recall(**fields: Any) -> Signal:
    defaults: dict[str, Any] = {
        "kind": "performance",
        "state": "alarmed",
        "value": 0.31,
        "expected": 0.66,
        "evidence_days": 41_000.0,
        "threshold_days": BUDGET.threshold_days(0.5),
        "samples": 212,
        "since": NOW - timedelta(days=9),
    }
    return signal("recall", **(defaults | fields))


def distribution(name: str, *, bins: int = 10, moved: float = 0.0) -> Distribution:
    was = np.full(bins, 1 / bins)
    now = was * (1 + moved * np.linspace(-1, 1, bins))
    return Distribution(
        name=name,
        bins=[f"{10 * at} to {10 * at + 10}" for at in range(bins)],
        was=was.tolist(),
        now=now.tolist(),
        samples=14_211,
        psi=float(((now - was) * np.log(now / was)).sum()),
        jensen_shannon=moved / 3,
        kolmogorov_smirnov=moved / 4,
        wasserstein=None if name == "channel" else 12.5 * moved,
        chi_squared_p=1e-12 if moved else 0.4,
        missing=0.0,
        unseen=0.0312 if name == "channel" else 0.0,
        outside=0.001,
    )


def alarm(**fields: Any) -> DriftAlarm:
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(NOW, "drift", "recall"),
        "occurred_at": NOW - timedelta(hours=3),
        "trace_id": TRACE_ID,
        "model_name": "fraud",
        "model_version": 12,
        "signal": "recall",
        "statistic": 41_000.0,
        "threshold": BUDGET.threshold_days(0.5),
        "samples": 212,
        "explanation": "Recall has fallen: of the last 212 frauds 31 % were caught, expected were 66 %.",
        "kind": "performance",
        "since": NOW - timedelta(days=9),
        "follows": "A new model was asked for.",
    }
    return DriftAlarm(**(defaults | fields))


def request() -> RetrainingRequest:
    return RetrainingRequest(
        event_id=derived_event_id(NOW, "retraining", "recall"),
        occurred_at=NOW - timedelta(hours=3),
        trace_id=TRACE_ID,
        model_name="fraud",
        requested_by="drift",
        reason="Recall has fallen.",
    )


def fallen_model(**fields: Any) -> ModelStatus:
    """A model that misses fraud; three of what it looks at have moved."""
    moved = {"amount": 0.6, "score": 0.45, "channel": 0.9}
    names = ["amount", "score", "channel", *(f"card_count_{days}d" for days in range(1, 4))]
    defaults: dict[str, Any] = {
        "model_name": "fraud",
        "model_version": 12,
        "since": NOW - timedelta(days=40),
        "trained_until": NOW - timedelta(days=48),
        "newest": NOW,
        "alarms_a_quarter": BUDGET.alarms_a_quarter,
        "needless_retrainings": 1,
        "families": [
            family("performance", 41_000, 0.5),
            family("data", 61, 0.3),
            family("together", 7.5, 0.1),
            family("faults", 0, 0.1),
        ],
        "signals": [
            recall(),
            recall(segment=HOSTILE, value=0.2, evidence_days=800.0, samples=31),
            signal("precision", kind="performance", value=0.44, expected=0.4, evidence_days=0.3, samples=98),
            signal("calibration", kind="performance", state="blind", note="no label has come for 21 days"),
            signal("amount", evidence_days=44.0, value=0.13, samples=14_211, since=NOW - timedelta(days=10)),
            signal("channel", evidence_days=17.0, segment="country=DE", value=0.3, since=NOW - timedelta(days=3)),
            signal("estimated_recall", value=0.64, expected=0.66, note="It cannot see fraud of a new kind."),
        ],
        "distributions": [distribution(name, moved=moved.get(name, 0.02)) for name in names],
        "alarms": [alarm()],
        "request": request(),
        "waits_for": "training's answer to the request",
        "blind": [BLIND],
    }
    return ModelStatus(**(defaults | fields))


def quiet_model(**fields: Any) -> ModelStatus:
    """A recommender about which there is nothing to tell."""
    defaults: dict[str, Any] = {
        "model_name": "recommendation",
        "model_version": 3,
        "since": NOW - timedelta(days=4),
        "alarms_a_quarter": BUDGET.alarms_a_quarter,
        "families": [family("click_through", 2.2, 0.5), family("coverage", 0.9, 0.3)],
        "signals": [signal("click_through", kind="performance", value=0.21, expected=0.2, evidence_days=2.2)],
    }
    return ModelStatus(**(defaults | fields))


def snapshot(*models: ModelStatus) -> Snapshot:
    return Snapshot(taken_at=NOW, models=list(models))
