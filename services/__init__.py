"""The deployables: one folder each, the same file names inside each."""
