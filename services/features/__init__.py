"""Payments and labels in, feature vectors out; the windows live in the store."""
