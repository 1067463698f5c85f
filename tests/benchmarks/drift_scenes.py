"""Which streams drift is measured on: stable ones, and one for each kind of drift."""

from typing import NamedTuple

from services.local.simulation.change import Drift
from tests.benchmarks.drift_model import WATCHED_FROM_DAY

PROMOTED_DAY = WATCHED_FROM_DAY + 0.4
"""In the morning of a day, which the monitor sees only the rest of."""
STABLE_PAYMENTS = 100_000
STABLE_DAYS = WATCHED_FROM_DAY + 116
"""Long enough for STABLE_PAYMENTS after PROMOTED_DAY."""
DRIFT_DAY = WATCHED_FROM_DAY + 20
DRIFTED_DAYS = DRIFT_DAY + 60


class Scene(NamedTuple):
    """One kind of drift. key: in names of figures."""

    key: str
    label: str
    drifts: tuple[Drift, ...]


SCENES = (
    Scene("covariate", "amounts up by half", (Drift("covariate", DRIFT_DAY, factor=1.5),)),
    Scene("concept", "frauds disguised", (Drift("concept", DRIFT_DAY),)),
    Scene("prior", "three times the frauds", (Drift("prior", DRIFT_DAY, factor=3),)),
    Scene("new_pattern", "card testing", (Drift("new_pattern", DRIFT_DAY),)),
    Scene("gradual", "amounts up by half over 20 days", (Drift("covariate", DRIFT_DAY, over_days=20, factor=1.5),)),
    Scene(
        "segment",
        "one country: amounts up by half, frauds disguised",
        (
            Drift("covariate", DRIFT_DAY, factor=1.5, country="DE"),
            Drift("concept", DRIFT_DAY, country="DE"),
        ),
    ),
)
