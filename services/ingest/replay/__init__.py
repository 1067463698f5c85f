"""Feeds a file of events through ingest's REST batches, in event-time order, from where it stopped."""

from services.ingest.replay.plan import ReplayError, ReplayPlan
from services.ingest.replay.run import ReplayProgress, ReplaySummary, replay

__all__ = ["ReplayError", "ReplayPlan", "ReplayProgress", "ReplaySummary", "replay"]
