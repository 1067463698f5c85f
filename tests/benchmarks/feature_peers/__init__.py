"""What the feature engine is measured beside: the same windows, computed by peers and by designs not chosen.

Peers that need packages of their own run in `.bench/peers-venv`, made from `tests/benchmarks/peers.lock`. Those
processes import this package too, so nothing but the standard library is imported until a peer runs.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from importlib import import_module
from typing import NamedTuple

from tests.benchmarks.feature_peers.oracle import disagreements
from tests.benchmarks.feature_peers.own_venv import run_in_own_venv
from tests.benchmarks.feature_peers.workload import PeerResult, Vector, Workload

_SHOWN = 3


class PeerDisagreesError(Exception):
    """A peer's vectors are not the ones wanted, so its speed means nothing."""


class Peer(NamedTuple):
    """One peer: what to call it and how to run it.

    exact: its vectors must be the oracle's. own_venv: it needs `.bench/peers-venv`. rejected: it is a design that keeps
    its state on the Redis-protocol server, so its result has p50 and p99 of one payment as well.
    """

    name: str
    run: Callable[[Workload], PeerResult]
    exact: bool = True
    own_venv: bool = False
    rejected: bool = False


def peers(redis_url: str) -> list[Peer]:
    """Return every peer; each run of a rejected design empties the server at `redis_url` first.

    `redis_url` is `redis://host:port/0` or `unix:///path`. A run may raise PeerFailedError.
    """
    return [
        Peer("Python dict of deques", partial(_here, "deques")),
        Peer("river TimeRolling", partial(_apart, "river_rolling"), own_venv=True),
        Peer("Quix Streams state", partial(_apart, "quix_state"), own_venv=True),
        Peer("bytewax stateful_map", partial(_apart, "bytewax_stateful"), own_venv=True),
        Peer("script, sorted sets", partial(_on_server, "sorted_sets", redis_url), rejected=True),
        Peer("script, bucket rings", partial(_on_server, "bucket_rings", redis_url), exact=False, rejected=True),
        Peer("MGET, process, MSET", partial(_on_server, "packed_states", redis_url), rejected=True),
    ]


def check(name: str, vectors: Sequence[Vector], wanted: Sequence[Vector]) -> None:
    """Compare the last vectors of an exact peer, or of our own engine, with `oracle.expected`.

    Raises:
        PeerDisagreesError: it names the first values that are off.
    """
    wrong = disagreements(vectors, wanted)
    if wrong:
        raise PeerDisagreesError(f"{name}: {len(wrong)} values are off: {'; '.join(wrong[:_SHOWN])}")


_payments = lru_cache(maxsize=1)(Workload.payments)


def _here(module: str, workload: Workload) -> PeerResult:
    result: PeerResult = import_module(f"{__name__}.{module}").run(_payments(workload))
    return result


def _on_server(module: str, redis_url: str, workload: Workload) -> PeerResult:
    result: PeerResult = import_module(f"{__name__}.{module}").run(_payments(workload), redis_url)
    return result


def _apart(module: str, workload: Workload) -> PeerResult:
    return run_in_own_venv(f"{__name__}.{module}", workload)
