"""Batch scoring: a file of payments in, a file of decisions out; nothing online is touched."""
