"""`POST /v1/score` on the running platform, and what stands around it: `make bench-scoring`.

Beside it, in the same run and in turn: the floor (a bare ASGI answer, the features' round trip to Redis, one row through
the graph, added up), and what users would pick instead, with the same model. Those only run the model: they are given
the features, which ours reads and updates, and they log no decision. Ours shares the machine with Kafka, Redis, the
features service and the load; the others share it with an idle platform and the load.
"""

import itertools
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from services.local.errors import PlatformError
from services.local.ports import choose_ports
from services.local.supervisor import Supervisor
from shared.models.session import OnnxModel
from tests.benchmarks.explanations import explanation_figures
from tests.benchmarks.http_load import Job, Outcome, run
from tests.benchmarks.process_usage import usage_of
from tests.benchmarks.report import publish
from tests.benchmarks.scoring_figures import CALLERS, Measured, Run, figures_of
from tests.benchmarks.scoring_parts import Parts, running_feast
from tests.benchmarks.scoring_peers.servers import PEERS, PORTS, Peer, PeerFailedError, bare_server, rows_of, server
from tests.benchmarks.served_model import SERVICE, ServedModel, Version, console, served_model, trained
from tests.benchmarks.stream import stream_figures
from tests.benchmarks.swaps import swap_figures

ROUNDS = 3
REQUESTS = {1: 1_500, 16: 8_000}
"""At most so many a run, by the number of callers."""
RUN_SECONDS_MAX = 3.0
WARMING_REQUESTS = 300
PART_CALLS = 500
PEER_ROWS = 500
SCORE_DIFFERENCE_MAX = 1e-4
READY_SECONDS_MAX = 120.0


class Target(NamedTuple):
    """A server to measure.

    process: its id. requests: returns so many.
    settle: waits until all that the answers brought about is done; returns how many of them were wrong.
    """

    key: str
    process: int
    port: int
    requests: Callable[[int], list[bytes]]
    settle: Callable[[Outcome], int]


def main() -> None:
    measured = measured_in_turn()
    figures = [*figures_of(measured), *swap_figures(), *stream_figures(), *explanation_figures()]
    publish("scoring", "scoring a payment", figures)


def measured_in_turn() -> Measured:
    """Return every run of ours, of the floor's parts and of every peer that starts here."""
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        served = exits.enter_context(served_model())
        version = trained(served.learnt, 1)
        served.put_into_service(version)
        supervisor = Supervisor()
        exits.callback(supervisor.stop)
        peers = peers_of(supervisor, served, version, folder)
        targets = [ours(served, version), bare(supervisor, served.requests, folder), *peers.values()]
        calls = calls_of(exits, served, version)
        for target in targets:
            measure(target, CALLERS[-1], WARMING_REQUESTS)
        measured = Measured({}, {}, {peer.key: peer.title for peer in peers})
        for _ in track(range(ROUNDS), "ours, the floor and peers in turn"):
            for callers, target in itertools.product(CALLERS, targets):
                found = measure(target, callers, REQUESTS[callers])
                measured.runs.setdefault((target.key, callers), []).append(found)
            for name, call in calls.items():
                measured.parts_ms.setdefault(name, []).append(call())
        return measured


def measure(target: Target, callers: int, requests: int) -> Run:
    """Load a server for some seconds."""
    job = Job(port=target.port, requests=target.requests(requests), connections=callers, seconds_max=RUN_SECONDS_MAX)
    before = usage_of(target.process)
    outcome = run(job)
    wrong = target.settle(outcome)
    after = usage_of(target.process)
    if not outcome.answers:
        raise SystemExit(f"{target.key} answered nothing: {outcome.failures}")
    return Run(
        p50_ms=outcome.percentile_ms(50),
        p99_ms=outcome.percentile_ms(99),
        per_second=outcome.per_second,
        cpu_us=(after.cpu_seconds - before.cpu_seconds) / len(outcome.answers) * 1e6,
        resident_mb=after.resident_mb,
        failed=wrong + sum(outcome.failures.values()),
    )


def calls_of(exits: ExitStack, served: ServedModel, version: Version) -> dict[str, Callable[[], list[float]]]:
    """Return what calls each part some hundred times and tells how long each call took, in milliseconds."""
    parts = Parts(served, version)
    exits.callback(parts.close)
    calls = {
        "features": lambda: parts.features_ms(served.payments(PART_CALLS)),
        "graph": lambda: parts.graph_ms(PART_CALLS),
    }
    try:
        feast = exits.enter_context(running_feast(str(served.platform.addresses.redis)))
    except PeerFailedError as error:
        _say(f"Feast is left out: {error}")
    else:
        calls["feast"] = lambda: feast.read_ms(PART_CALLS)
    return calls


def ours(served: ServedModel, version: Version) -> Target:
    """Return the platform's scoring service."""

    def settle(outcome: Outcome) -> int:
        return served.settle(outcome, [version]).wrong

    return Target("ours", served.platform.service(SERVICE).pid, served.port, served.requests, settle)


def bare(supervisor: Supervisor, requests: Callable[[int], list[bytes]], folder: Path) -> Target:
    """Start the ASGI function that does nothing; it is sent the same requests."""
    (port,) = choose_ports([None])
    process = bare_server(folder, port)
    supervisor.start(process)
    supervisor.wait_ready([process], seconds_max=READY_SECONDS_MAX, say=_say)
    return Target("bare", process.pid, port, requests, nothing_follows)


def peers_of(supervisor: Supervisor, served: ServedModel, version: Version, folder: Path) -> dict[Peer, Target]:
    """Return the peers that start here and score as ours does; the others are told of."""
    targets = {}
    for peer in PEERS:
        try:
            targets[peer] = started(peer, supervisor, served, version, folder)
        except (PeerFailedError, PlatformError) as error:
            _say(f"{peer.name} is left out: {error}")
    return targets


def started(peer: Peer, supervisor: Supervisor, served: ServedModel, version: Version, folder: Path) -> Target:
    """Start a peer on the model of `version`.

    Raises:
        PeerFailedError, PlatformError: it did not start, or its scores are not ours.
    """
    ports = choose_ports([None] * PORTS)
    process = server(peer, version, served.learnt, folder / peer.key, ports)
    supervisor.start(process)
    supervisor.wait_ready([process], seconds_max=READY_SECONDS_MAX, say=_say)
    rows = served.learnt.rows[:PEER_ROWS]
    requests = partial(peer.requests, rows_of(peer, version, rows))
    job = Job(port=ports[0], requests=requests(PEER_ROWS), connections=1, seconds_max=READY_SECONDS_MAX)
    scores = [peer.score(answer) for answer in run(job).answers]
    wanted = OnnxModel(version.manifest, version.onnx).scores(rows)
    if len(scores) < PEER_ROWS or np.abs(wanted - scores).max() > SCORE_DIFFERENCE_MAX:
        supervisor.stop([process])
        raise PeerFailedError(f"{len(scores)} of {PEER_ROWS} answered, the first {scores[:3]}, ours {wanted[:3]}")
    return Target(peer.key, process.pid, ports[0], requests, nothing_follows)


def nothing_follows(_outcome: Outcome) -> int:
    return 0


def _say(line: str) -> None:
    console.print(line, style="dim")


if __name__ == "__main__":
    main()
