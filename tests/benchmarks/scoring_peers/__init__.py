"""What `POST /v1/score` is measured beside: servers that users would pick instead, each in an environment of its own.

Those are made below `.bench/scoring-peers` from the lock files here, and import this package too, so nothing but the
standard library is imported until a peer runs.
"""
