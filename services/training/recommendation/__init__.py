"""Recommenders: from the archive's interactions to a gated, registered model."""
