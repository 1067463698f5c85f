"""The features handler for tests, with everything a test does not care about filled in."""

from datetime import timedelta

from services.features.handlers import FeaturesHandler
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import FeatureSet
from shared.features.engine import FeatureEngine
from shared.runtime.clock import SystemClock
from shared.store.base import Store
from shared.store.memory import MemoryStore


def features_handler(feature_set: FeatureSet = FRAUD, store: Store | None = None) -> FeaturesHandler:
    clock = SystemClock()
    return FeaturesHandler(
        FeatureEngine(feature_set),
        store or MemoryStore(clock),
        clock,
        age_max=timedelta(minutes=1),
        lag_records=lambda: 0,
    )
