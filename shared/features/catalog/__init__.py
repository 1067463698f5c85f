"""The feature sets that ship: one file a mission."""
