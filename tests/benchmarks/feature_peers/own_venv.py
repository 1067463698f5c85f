"""A peer in the environment of its own packages, as a child process: the parent's side and the child's.

Standard library only, as the child has nothing else of ours.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.feature_peers.workload import Payment, PeerResult, Workload

ROOT = Path(__file__).parents[3]
PEERS_PYTHON = ROOT / ".bench" / "peers-venv" / "bin" / "python"


class PeerFailedError(Exception):
    """The child process of a peer ended without a result."""


def run_in_own_venv(module: str, workload: Workload) -> PeerResult:
    """Run a peer's module on the workload, in a fresh process of the peers' environment.

    Raises:
        PeerFailedError: the environment is missing, or the peer failed.
    """
    if not PEERS_PYTHON.exists():
        raise PeerFailedError(f"{PEERS_PYTHON} is missing: run `make bench-features`, which makes it")
    command = [str(PEERS_PYTHON), "-m", module, str(workload.size), str(workload.seed)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise PeerFailedError(f"{module} ended with {child.returncode}: {child.stderr[-2_000:]}")
    result = json.loads(child.stdout.splitlines()[-1])
    return PeerResult(result["payments"], result["seconds"], result["vectors"])


def report(run: Callable[[Sequence[Payment]], PeerResult]) -> None:
    """Run the peer on the workload that the command line names (`size seed`); print one line of JSON."""
    size, seed = map(int, sys.argv[1:3])
    result = run(Workload(size, seed).payments())
    print(json.dumps(result._asdict() | {"payments_per_second": result.payments_per_second}))
