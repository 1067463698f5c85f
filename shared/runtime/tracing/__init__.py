"""Traces: one event's way through the services, off unless a collector is named (docs/decisions/0013).

Only `spans` and `export` import OpenTelemetry, and only where traces are on: it takes half a second and 12 MB to load.
"""
