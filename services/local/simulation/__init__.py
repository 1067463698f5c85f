"""Simulated payments and shoppers, with the truth about each, and what sends them to a running platform."""
